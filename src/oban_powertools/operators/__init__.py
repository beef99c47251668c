"""Who may do what, and what was done: authorization, commands and their evidence, the audit."""
