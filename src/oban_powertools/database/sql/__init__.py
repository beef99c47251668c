"""SQL as files: named queries by entity, forward-only migrations, and the current text of each function and view."""
