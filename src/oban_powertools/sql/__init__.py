"""SQL as files: named queries by entity, and forward-only migrations."""
