"""Known defects of the installed Oban, and which of them Powertools mends.

Source: read and reproduced on oban 0.7.0. A defect that already shows in this database has a check of its own.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from ...database import Session
from .finding import Finding, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One of them."""

    id: str
    """Stable; with its room, oban/O1 and so on, it is on docs/design/rules.md."""

    found: str
    """What goes wrong."""

    mended: str | None
    """By what of ours it is mended; None: it is not."""

    todo: str
    """What to do, or keep, about it."""


DEFECTS: Final = (
    Defect(
        id="O1",
        found="the leader's lease lasts 3 s whatever is asked, so every node leads",
        mended=None,
        todo="make cron jobs unique, or give cron to one node",
    ),
    Defect(
        id="O2",
        found="one value that PostgreSQL cannot store stops a queue for good",
        mended="turbo",
        todo="keep turbo on",
    ),
    Defect(
        id="O3",
        found="one row that Oban's Job rejects stops its queue for good",
        mended=None,
        todo="doctor names such rows (check rejected_jobs)",
    ),
    Defect(
        id="O4",
        found="an undecodable notification ends a node's notifier, and polling has to do",
        mended=None,
        todo="REVOKE CONNECT from roles that have no task here",
    ),
    Defect(
        id="O5",
        found="any role that may connect can stop, scale or pause queues by NOTIFY",
        mended=None,
        todo="REVOKE CONNECT from roles that have no task here",
    ),
    Defect(
        id="O6",
        found="a job that runs for long is rescued for its age and runs twice at once",
        mended="the lifeline",
        todo="keep Powertools running on every node: it rescues by heartbeats",
    ),
    Defect(
        id="O7",
        found="the worker's path in a row is imported, whatever it names",
        mended=None,
        todo="let nobody insert jobs who may not run code",
    ),
    Defect(
        id="O8",
        found="Oban's queries have no timeout",
        mended=None,
        todo="give the pool keepalives, tcp_user_timeout and statement_timeout, as powertools start does",
    ),
    Defect(
        id="O9",
        found="a lost reply to a fetch leaves jobs executing that nobody runs",
        mended="the lifeline",
        todo="keep Powertools running on every node",
    ),
    Defect(
        id="O10",
        found="the cancellation of an executing job is a signal only, which can be lost",
        mended="the sweep",
        todo="nothing for steps; a plain job that must stop needs its signal",
    ),
    Defect(
        id="O13",
        found="a failed ack is tried again only when something wakes the queue",
        mended="turbo",
        todo="keep turbo on",
    ),
)
"""Those that an operator can notice or do something about."""

_KNOWN: Final = "0.7."


async def check_oban(session: Session) -> list[Finding]:
    """The installed release of Oban, with its defects as notes."""
    del session
    installed = version("oban")
    if not installed.startswith(_KNOWN):
        return [
            Finding(
                check="oban",
                level=Level.ERROR,
                subject=f"oban {installed}",
                found="not the release this one is for",
                expected="oban 0.7",
                todo="pip install 'oban>=0.7,<0.8'",
            )
        ]
    return [
        Finding(
            check="oban",
            level=Level.NOTE,
            subject=f"oban {installed}, {defect.id}",
            found=defect.found,
            expected=f"mended by {defect.mended}" if defect.mended else "not mended",
            todo=defect.todo,
        )
        for defect in DEFECTS
    ]
