"""The closed lists, as in docs/reference/telemetry.md: every event and field, and every word that a field may hold."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from ..acts import UNKNOWN, Action
from ..states import SignalStatus, WorkflowState


class Name(StrEnum):
    """What is told of. A span is told of as ``.start``, then ``.stop`` or ``.exception``."""

    INSERT = "oban_powertools.workflow.insert"
    FINISHED = "oban_powertools.workflow.finished"
    COMMAND = "oban_powertools.workflow.command"
    SIGNAL = "oban_powertools.workflow.signal"
    STEP_CHANGED = "oban_powertools.workflow.step_changed"
    ACK = "oban_powertools.workflow.ack"
    SWEEP = "oban_powertools.lifeline.sweep"
    KEEP_EVENTS = "oban_powertools.workflow.keep_events"


_SPANS: Final[Mapping[Name, tuple[str, str]]] = {
    Name.INSERT: ("workflows steps", "inserted"),
    Name.ACK: ("jobs", "acknowledged"),
    Name.SWEEP: ("", "parts repaired expired reconciled"),
    Name.KEEP_EVENTS: ("", "pruned"),
}
"""Span -> its fields from the start on, and those its ``.stop`` adds."""

_COUNTS: Final[Mapping[Name, str]] = {
    Name.FINISHED: "outcome count",
    Name.COMMAND: "action outcome",
    Name.SIGNAL: "status",
    Name.STEP_CHANGED: "change count",
}


def _events() -> Mapping[str, frozenset[str]]:
    events = {str(name): frozenset(fields.split()) for name, fields in _COUNTS.items()}
    for name, (begun, measured) in _SPANS.items():
        start = frozenset({"system_time", *begun.split()})
        events[f"{name}.start"] = start
        events[f"{name}.stop"] = start | {"duration", *measured.split()}
        events[f"{name}.exception"] = start | {"duration", "error_type", *measured.split()}
    return events


EVENTS: Final = _events()
"""Name of an event, as handlers attach to it -> the fields it may have."""

ACTIONS: Final = frozenset({*(act.value for act in Action), UNKNOWN})
"""The acts; what a caller made up is ``unknown``."""

WORDS: Final[Mapping[str, frozenset[str]]] = {
    "action": ACTIONS,
    "change": frozenset(
        "released started completed retrying snoozed cancelled discarded expired awaiting recovered".split()
    ),
    "outcome": frozenset(
        {"accepted", "rejected", "failed", *(state.value for state in WorkflowState if state.terminal)}
    ),
    "status": frozenset(status.value for status in SignalStatus),
}
"""Field that holds a word -> all its words. Every other field holds a number, but ``error_type``, a class's name."""

TRACE_META: Final = ("traceparent", "tracestate")
"""Keys of a job's meta that carry the W3C trace context of its workflow's insert."""

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the histograms, in seconds."""
