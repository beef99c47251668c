"""Write log records as JSON, one line each, for whatever gathers them."""

import json
import logging
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: ``at``, ``level``, ``logger``, ``message``, and ``error`` with a traceback.

    What a record carries as ``fields`` stands beside them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """As logging, in JSON."""
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            entry["error"] = record.exc_text
        return json.dumps(entry)  # in ASCII, so that no text controls a terminal
