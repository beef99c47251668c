"""Count what happened, from the event log: changes of steps, ends of workflows, and how long a hop took.

The database writes these, whoever changed the job, so no process sees them all happen. The rule that must never break:
every event after the first count is counted once by each process that counts.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from ... import telemetry
from ...database import Connect
from ...telemetry import BUCKETS, Name
from ...wire import AsDict

_PAGE: Final = 50_000
"""Events counted in one statement, and up to one batch more."""

_PAGES: Final = 20
"""Pages read by one count; what is left comes with the next."""


@dataclass(slots=True, kw_only=True)
class Counts(AsDict):
    """Totals since the first count of this process."""

    changes: Counter[str] = field(default_factory=Counter[str])
    """Changes of steps, by change."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    """Ends of workflows, by outcome."""

    hops: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    """Completed steps by hop time: one entry for each of ``BUCKETS``, not cumulated, and one for longer ones."""

    hop_seconds: float = 0.0
    """The sum of these times: from the transaction of the last parent's end to the start of the step."""

    uncounted: int = 0
    """Events that were left for the next count."""


class Tally:
    """Counts on from where it was; the first count begins at the end of the log.

    Args:
        connect: An autocommit connection of our own pool.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._counts = Counts()
        self._cursor: int | None = None
        self._lock = asyncio.Lock()

    async def count(self) -> Counts:
        """Read on to the end of the log and tell of it as ``step_changed`` and ``finished``.

        Returns:
            The totals, to be read only.

        Raises:
            psycopg.Error: The database did not answer in 5 s; what was read until then is counted.
        """
        async with self._lock, self._connect() as session:
            for _ in range(_PAGES):
                async with session.bounded():
                    rows = await session.all("tally", self._args())
                self._take(rows)
                if not self._counts.uncounted:
                    break
            return self._counts

    def _args(self) -> dict[str, Any]:
        return {"since": self._cursor, "page": _PAGE, "bounds": list(BUCKETS)}

    def _take(self, rows: list[dict[str, Any]]) -> None:
        changes, outcomes = Counter[str](), Counter[str]()
        for row in rows:
            if row["change"] == "finished":
                outcomes[row["outcome"]] += row["events"]
            elif row["change"] is not None:
                changes[row["change"]] += row["events"]
            if row["bucket"] is not None:
                self._counts.hops[row["bucket"]] += row["events"]
                self._counts.hop_seconds += row["seconds"]
        self._cursor = rows[0]["upto"]
        self._counts.uncounted = rows[0]["head"] - rows[0]["upto"]
        self._counts.changes += changes
        self._counts.outcomes += outcomes
        for change, count in changes.items():
            telemetry.execute(Name.STEP_CHANGED, change=change, count=count)
        for outcome, count in outcomes.items():
            telemetry.execute(Name.FINISHED, outcome=outcome, count=count)
