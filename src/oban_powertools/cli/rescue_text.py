"""What became of a job whose executor ended, in words: for timelines of incidents and histories of workflows."""

from collections.abc import Mapping
from typing import Any, Final

BECAME: Final[Mapping[str, str]] = {
    "retried": "runs again",
    "isolated": "runs again, by itself",
    "quarantined": "set aside after too many crashes",
    "discarded": "discarded",
    "cancelled": "cancelled, as it was asked to stop",
    "left": "left to operators",
}
"""Action of a rescue -> what became of the job."""

_WHY: Final[Mapping[str, str]] = {
    "gone": "its executor is gone",
    "ended": "its process ended",
    "stopped": "its executor stopped while it ran",
    "lost": "its executor is lost",
    "unknown": "nobody knows its executor",
}


def describe_rescue(detail: Mapping[str, Any]) -> str:
    """A rescue as a sentence; the display policy may have left anything of it."""
    what = f"job {detail.get('job_id')}, attempt {detail.get('attempt')} of {detail.get('worker')}"
    why = str(detail.get("why") or "")
    return ": ".join(filter(None, (what, _WHY.get(why, why.replace("_", " ")))))
