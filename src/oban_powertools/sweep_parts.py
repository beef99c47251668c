"""The one registry of the parts of the sweep: what no trigger could see, each part one row.

A row names the functions of ``sql/functions`` that say when the part is due and that do it. An upgrade writes them
into ``due_parts_v1`` and ``sweep_part_v1``, and the parts into ``powertools.sweep_parts``: whoever does a part locks
its row, the pulse stores its successes there, and the doctor reads them. No I/O.

The rule that must never break: a part has one row, and nothing else lists the parts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """The row of a part."""

    due_when: str | None = None
    """The call, inside ``due_parts_v1``, of a function that has rows when it is due: a plain query, STABLE, so that the
    planner puts it in the place of the call. None: it decides itself."""

    swept_by: str | None = None
    """Does one batch: ``(batch int, OUT done int, OUT failed int, OUT more bool)``, where failed is how many could not
    be done now, more whether there may be more to do at once. Beside ``found_by``: ``(bigint[]) -> void``, called half
    by half upon a fault. None: Python does it, in ``Powertools._carry_out``."""

    found_by: str | None = None
    """Finds the ids of one batch, the longest overdue, family after family: ``(batch int) -> bigint[]``."""

    batch: int = 1000
    """Rows that one transaction locks, of one that ``swept_by`` does."""


class SweepPart(StrEnum):
    """What a sweep does, in order, with its ``row``."""

    row: PartRow

    def __new__(cls, name: str, row: PartRow) -> Self:
        """One entry is the name and the row."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.row = row
        return member

    REPAIR_SETTLE_FAULTS = (
        "repair_settle_faults",
        PartRow(due_when="open_settle_faults()", swept_by="repair_faults", batch=100),
    )
    MATCH_SIGNALS = ("match_signals", PartRow(due_when="unmatched()", swept_by="match_missed"))
    EXPIRE_WAITS = (
        "expire_waits",
        PartRow(due_when="overdue_waits()", found_by="waits_to_expire", swept_by="expire_waits"),
    )
    EXPIRE_WORKFLOWS = (
        "expire_workflows",
        PartRow(due_when="overdue_workflows()", found_by="workflows_to_expire", swept_by="expire_workflows", batch=100),
    )
    CANCEL_STOPPING_JOBS = (
        "cancel_stopping_jobs",
        PartRow(due_when="stopping()", swept_by="cancel_idle_jobs"),
    )
    EXPIRE_HOLDS = (
        "expire_holds",
        PartRow(due_when="overdue_holds()", found_by="holds_to_expire", swept_by="expire_holds"),
    )
    ANALYZE_OUTGROWN = ("analyze_outgrown", PartRow(due_when="outgrown_tables()", swept_by="analyze_tables", batch=1))
    RECONCILE = ("reconcile", PartRow(due_when="unfinished_workflows()"))
    RESCUE = ("rescue", PartRow(due_when="gone_or_dated_ahead()"))
    PROJECT_INCIDENTS = ("project_incidents", PartRow(due_when="projection_aged(incidents_every)"))
    KEEP_EVENTS = ("keep_events", PartRow(due_when="events_to_keep(events_kept_for)"))
    SEAL_AUDIT = ("seal_audit", PartRow(due_when="unsealed()"))
    DISPATCH_WEBHOOKS = ("dispatch_webhooks", PartRow(due_when="webhook_addresses()"))
    RETENTION = ("retention", PartRow())


PARTS: Final = {part.value: part.row.batch for part in SweepPart if part.row.swept_by is not None}
"""The parts that a function of the database does, in order -> rows that one transaction locks."""

ALL_PARTS: Final = frozenset(part.value for part in SweepPart if part.row.due_when is not None)
"""All parts of which the database says when they are due."""
