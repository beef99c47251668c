"""Which acts are legal on a delivered signal as it is now: used by the repairs and by the explanations.

Pure: rows as dicts in, a refusal or None out. The rule that must never break: a signal wakes one wait at most, so what
was taken is neither taken back nor given to another.
"""

from collections.abc import Mapping
from typing import Final

from ..acts import Action, TargetType, repairs_of
from ..database import Row
from ..errors import CommandRefusedError, IllegalRepairError
from ..states import SignalStatus

SIGNAL_REPAIRS: Final = repairs_of(TargetType.SIGNAL)
"""The repairs whose target is a signal."""

UNTAKEN: Final[Mapping[Action, frozenset[str]]] = {
    Action.SIGNAL_REDIRECT: frozenset({SignalStatus.STORED, SignalStatus.AMBIGUOUS, SignalStatus.LATE}),
    Action.SIGNAL_DISCARD: frozenset({SignalStatus.STORED}),
}
"""Repair of a signal -> what may have become of the signal so far."""


def refuse_signal(action: Action, signal: Row) -> CommandRefusedError | None:
    """Why a repair is illegal on a signal; None when it is legal.

    Args:
        signal: id, status; of a redirection also to (the step that is to take it) and to_wait_id (its wait, or None).
    """
    subject = f"signal {signal['id']}"
    if signal["status"] not in UNTAKEN[action]:
        return IllegalRepairError(action, subject, f"it is {signal['status']}")
    if signal["to"] is not None and signal["to_wait_id"] is None:
        return IllegalRepairError(action, subject, f"step {signal['to']} does not wait for a signal")
    return None
