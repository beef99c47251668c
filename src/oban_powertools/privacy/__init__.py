"""What may be seen of what the host runs: patterns of secrets, the display policy, records for people, logs."""
