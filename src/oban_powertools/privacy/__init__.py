"""What people may see of the host's data: patterns of secrets, the display policy, displayed records, logs."""
