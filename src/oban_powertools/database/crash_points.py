"""Named points at which a test kills this process as ``kill -9`` would; in production they do nothing.

Not for faults inside a transaction: tests cause those in the database. The rule that must never break: without
``POWERTOOLS_CRASH_POINT`` in the environment at import, nothing here has an effect.
"""

import os
from typing import Final, Literal

type CrashPoint = Literal["before_ack", "after_ack", "before_insert_commit", "after_insert_commit"]

_CHOSEN: Final = os.environ.get("POWERTOOLS_CRASH_POINT")


def reached(point: CrashPoint) -> None:
    """End the process here, without any clean-up, if this is the chosen point."""
    if point == _CHOSEN:
        os._exit(137)
