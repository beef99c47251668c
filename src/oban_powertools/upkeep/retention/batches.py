"""Remove records in batches: used by an operator's run and by the sweep."""

from dataclasses import dataclass, field
from typing import Final

from ...database import Session
from .records import RecordClass

BATCH: Final = 5000
"""Rows of one batch; of workflows their steps. A family that has more goes in one."""


@dataclass(slots=True)
class Progress:
    """How far a run has come."""

    left: list[RecordClass]
    """Classes that may have more."""

    after: int = 0
    """The cursor of the walk through the workflows."""

    failures: dict[RecordClass, str] = field(default_factory=dict[RecordClass, str])
    """Class -> why it was given up."""

    @classmethod
    def start(cls) -> "Progress":
        """With every class, also those that are kept for ever now: a policy may change while it runs."""
        return cls(left=[*RecordClass])


async def prune_batch(session: Session, of_class: RecordClass, run: int, after: int) -> dict[str, int | bool | None]:
    """One batch of one class, in the caller's transaction.

    Returns:
        archived (None while another session is pruning), pruned, last and more, as powertools.prune_batch_v1.

    Locks: the part's row; the rows that are removed, passing over those that are locked.
    """
    args = {"of_class": of_class, "run": run, "batch": BATCH, "after": after}
    row = await session.one("prune_batch", args)
    assert row is not None
    return dict(row)


def advance(progress: Progress, of_class: RecordClass, row: dict[str, int | bool | None]) -> None:
    """Remember where the class goes on, or that it is done."""
    if of_class is RecordClass.WORKFLOWS:
        progress.after = int(row["last"] or 0)
    if not row["more"]:
        progress.left.remove(of_class)
