"""Who may do what, and what was done: authorization, commands, the audit."""
