"""Say what is known about an incident: what was seen, where and when; what that means, and what nobody knows.

Pure. The rule that must never break: a fact is in the evidence or in the timeline; what is concluded from it stands in
the class's row, and is never mixed with what was seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from ...incident_classes import find_row
from ...plural import counted
from ...states import IncidentState
from .records import Fact, Incident, IncidentDiagnosis, TimelineEntry

_FACTS: Final[Mapping[str, tuple[str, str | None]]] = {
    "last_seen_at": ("The last heartbeat of {producer_scope} on {node}; none since.", "executors"),
    "last_failure_at": ("The last of them failed with {error_class}.", "jobs"),
    "overdue_since": ("The first of the deadlines passed.", "waits"),
    "quarantined_at": ("It was put in quarantine.", "rescues"),
    "since": ("The oldest of them is from then.", None),
    "usual_seconds": ("An attempt of {worker} usually takes {usual_seconds} s.", "jobs"),
    "bound_seconds": ("One that runs for {bound_seconds} s counts as hung.", "jobs"),
    "nodes": ("{worker} could not be imported on {nodes}.", "jobs"),
    "keys": ("The keys that were sent: {keys}.", "signals"),
}
"""Name of evidence -> its sentence, and where it was seen; None for where the ids are from."""

_SOURCES: Final = {"late_result": "late results"}
"""Type of ids -> where they are from, where it is not their plural."""

_BEATS: Final[Mapping[tuple[object, object], str]] = {
    (True, False): "Its process sends heartbeats, its event loop does not answer.",
    (False, False): "Neither its process nor its event loop sends heartbeats.",
    (False, True): "Its process sends no heartbeats.",
}
"""(whether its process is alive, whether its event loop answers) -> the sentence."""

_RESCUES: Final = {"rescued": "rescued", "left": "left to an operator"}
"""Kind of an entry in the timeline -> what happened to its job."""


def diagnose(incident: Incident, timeline: Sequence[TimelineEntry]) -> IncidentDiagnosis:
    """The diagnosis of an incident.

    Args:
        timeline: Its own.
    """
    row = find_row(incident.incident_class)
    over = incident.state is IncidentState.RESOLVED
    return IncidentDiagnosis(
        saw=(*_saw(incident), *_rescues(timeline)),
        means=row.means if row else "",
        unknown=row.unknown if row else "",
        unattended=row.unattended if row and not over else "",
    )


def _saw(incident: Incident) -> Iterator[Fact]:
    # The display policy may have left anything of it.
    evidence: Mapping[str, Any] = incident.evidence if isinstance(cast("Any", incident.evidence), Mapping) else {}
    kind = str(evidence.get("id_type", "job"))
    source = _SOURCES.get(kind, f"{kind}s")
    for name, value in evidence.items():
        if name in _FACTS and (sentence := _fill(_FACTS[name][0], evidence)):
            yield Fact(sentence=sentence, source=_FACTS[name][1] or source, at=_instant(value))
    beats = _BEATS.get((evidence.get("process_alive"), evidence.get("loop_responsive")))
    if beats is not None:
        yield Fact(sentence=beats, source="executors", at=incident.last_detected_at)
    if incident.count:
        verb = "is" if incident.count == 1 else "are"
        sentence = f"{counted(incident.count, kind.replace('_', ' '))} {verb} affected."
        yield Fact(sentence=sentence, source=source, at=incident.last_detected_at)
    if incident.waiting_workflows:
        steps = counted(incident.waiting_steps, "open step")
        sentence = f"It concerns {steps} of {counted(incident.waiting_workflows, 'workflow')}."
        yield Fact(sentence=sentence, source="steps", at=incident.last_detected_at)


def _rescues(timeline: Sequence[TimelineEntry]) -> Iterator[Fact]:
    for kind, done in _RESCUES.items():
        alike = [entry for entry in timeline if entry.kind == kind]
        if alike:
            sentence = f"{counted(len(alike), 'job')} {'was' if len(alike) == 1 else 'were'} {done}."
            yield Fact(sentence=sentence, source="rescues", at=alike[-1].at)


def _fill(sentence: str, evidence: Mapping[str, Any]) -> str | None:
    """The sentence with the words of the evidence; None where one is missing."""
    try:
        return sentence.format_map({name: _plain(value) for name, value in evidence.items()})
    except KeyError:
        return None


def _plain(value: Any) -> str:
    listed = isinstance(value, list | tuple)
    return ", ".join(map(str, cast("Sequence[Any]", value))) if listed else str(value)


def _instant(value: Any) -> datetime | None:
    """The instant of a text; None where it is none."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else None
