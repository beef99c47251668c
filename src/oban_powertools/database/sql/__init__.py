"""SQL as files: named queries by entity, and forward-only migrations (``schema`` says what ``PLANNED ...`` is)."""
