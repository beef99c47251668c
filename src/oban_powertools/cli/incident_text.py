"""Print one incident: what is known of it, what its tasks do, what happened to it, and what to type next."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from ..explain import ExplainedRepair
from ..lifeline import Incident, TimelineEntry
from ..plural import counted
from ..states import IncidentState
from ..times import ago, duration, find_instant, moment
from .explain_text import bulk_command, repair_command
from .next_commands import command_line, repeated, worst_first
from .output import print_facts, print_next, print_table, say, terminal_width
from .rescue_text import BECAME, describe_rescue
from .tables import Column, Table
from .text import one_line, state_beside, word_and_state, wrap

_RESCUES: Final = ("rescued", "left")


def _what(entry: TimelineEntry) -> str:
    return BECAME.get(str(entry.detail.get("action")), entry.kind) if entry.kind in _RESCUES else entry.kind


_TIMELINE: Final = Table[TimelineEntry](
    (
        Column("AT", lambda entry: ago(entry.at), whole=True),
        Column("WHAT", _what, whole=True),
        Column("WHO", lambda entry: entry.actor or "powertools"),
    ),
    sentence=lambda entry: describe_rescue(entry.detail) if entry.kind in _RESCUES else _told(entry.detail),
)
_MOST_TARGETS: Final = 3
"""Targets of one act that its line in a timeline names."""

_SHOWN_REPAIRS: Final = 5
_BESIDE_BULK: Final = 2
_MOST_SHOWN: Final = 10
_LOOKS: Final[Mapping[str, tuple[str, str]]] = {
    "workflow": ("workflow", "explain"),
    "step": ("workflow", "explain"),
    "job": ("job", "explain"),
    "queue": ("queues", "show"),
}
"""What an incident or a repair is about -> the command that shows it."""

_ON_THEIR_OWN: Final = ("stacks", "id_type", "queues")
"""Evidence that has lines of its own, says what other evidence is, or is for the commands that follow."""

_SENTENCES: Final = ("title", "because", "note")
_FRESH: Final = timedelta(minutes=1)
_STACK: Final = "  "


def print_incident(incident: Incident, seen_ago: timedelta | None) -> None:
    """Print an incident with its evidence, its timeline, and the commands that follow.

    Args:
        seen_ago: When somebody looked for incidents last.
    """
    print_facts(
        {
            "incident": str(incident.id),
            "fingerprint": incident.fingerprint,
            "what": incident.title,
            "look first": incident.advice if incident.state is not IncidentState.RESOLVED else "",
            "status": word_and_state(incident.status, incident.state, incident.substatus),
            "kept open": incident.kept_open,
            "since": moment(incident.opened_at),
            "first detected": moment(incident.first_detected_at) if incident.reopened else "",
            "last seen": moment(_last_seen(incident, seen_ago)),
            "resolved": moment(incident.resolved_at),
            "concerns": concerned(incident),
            "acknowledged by": incident.acknowledged_by or "",
            "assignee": incident.assignee or "",
            "muted until": moment(incident.muted_until),
            "evidence": "; ".join(_evidence(incident.evidence)),
        }
    )
    _print_stacks(incident.evidence.get("stacks", ()))
    say()
    print_table(_TIMELINE, _together(incident.timeline))
    print_next(*_commands(incident))


def _together(timeline: Sequence[TimelineEntry]) -> list[TimelineEntry]:
    """One person's same act, for the same reason and with the same end, on one target after the other, as one."""
    found: dict[tuple[object, ...], list[TimelineEntry]] = {}
    others = 0
    for entry in timeline:
        others += "target" not in entry.detail
        same = (entry.detail.get(name) for name in ("reason", "outcome", "code"))
        found.setdefault((others, entry.kind, entry.actor, *same), []).append(entry)
    entries = (_as_one(entries) for entries in found.values())
    return sorted(entries, key=lambda entry: entry.at)


def _as_one(entries: Sequence[TimelineEntry]) -> TimelineEntry:
    targets = [str(entry.detail["target"]) for entry in entries if "target" in entry.detail]
    if len(entries) <= _MOST_TARGETS:
        told = ", ".join(targets)
    else:
        told = f"{counted(len(targets), 'target')}, such as {', '.join(targets[:_MOST_TARGETS])}"
    return replace(entries[0], detail={**entries[0].detail, "target": told}) if len(entries) > 1 else entries[0]


def _last_seen(incident: Incident, seen_ago: timedelta | None) -> datetime:
    """An open incident was there when somebody looked last, though its row is written once a minute only."""
    if incident.state is IncidentState.RESOLVED or seen_ago is None or incident.evidence.get("ids") == []:
        return incident.last_detected_at
    return max(incident.last_detected_at, datetime.now(UTC) - seen_ago)


def first_looks(incidents: Sequence[Incident]) -> list[str]:
    """The commands that show those of a list that nobody has taken; of others only the first."""
    active = [incident for incident in incidents if incident.state is IncidentState.ACTIVE and not incident.muted]
    return [command_line("incidents", "show", each.id) for each in (active or worst_first(incidents)[:1])[:_MOST_SHOWN]]


def say_unwatched(seen_ago: timedelta | None, *, nobody_lives: bool) -> str:
    """That nobody looks for incidents, so that a list of them may be out of date; empty when somebody does.

    Args:
        nobody_lives: Whether no process is alive that would look, however short ago one did.
    """
    if seen_ago is not None and seen_ago <= _FRESH:
        told = f"nobody is alive to look for incidents, the last look was {duration(seen_ago)} ago"
        return f"{told}: powertools executors list says who is gone" if nobody_lives else ""
    if seen_ago is None:
        return "nobody has looked yet: incidents are found by processes with Powertools, as powertools start runs one"
    when = f"nobody has looked for {duration(seen_ago)}"
    return f"{when}: incidents are found by processes that sweep; powertools doctor says whether one does"


def state_of(incident: Incident) -> str:
    """The raw state, and whether it is known; without what its word says."""
    return state_beside(incident.status, incident.state, incident.substatus)


def concerned(incident: Incident) -> str:
    """The workflows that it concerns, with their open steps; empty for none."""
    steps, workflows = incident.waiting_steps, incident.waiting_workflows
    return f"{counted(steps, 'open step')} of {counted(workflows, 'workflow')}" if workflows else ""


def find_look(kind: str, name: str) -> str | None:
    """The command that explains a target; None where no command shows that kind of target alone."""
    if kind not in _LOOKS:
        return None
    words = name.split("/", 1) if kind == "step" else [name]
    return command_line(*_LOOKS[kind], *words)


def _commands(incident: Incident) -> list[str]:
    """What previews its repairs, all of it at once first; where no repair ends it, what does; then where to look on."""
    if incident.state is IncidentState.RESOLVED:
        return []
    commands = [bulk_command(each, incident.id) for each in incident.bulk]
    commands += [repair_command(each, incident.id) for each in _first_repairs(incident)]
    commands += map(repeated, incident.commands)
    commands += _look_on(incident)
    if not commands and incident.state is IncidentState.ACTIVE:
        commands.append(command_line("incidents", "ack", incident.id, acts=True))
    return commands


def _first_repairs(incident: Incident) -> Sequence[ExplainedRepair]:
    """Those to print: of an act that there is for all of them at once, two."""
    at_once = {each.action for each in incident.bulk}
    places = Counter[str]()
    shown: list[ExplainedRepair] = []
    for repair in incident.repairs:
        places[repair.action] += 1
        if repair.action not in at_once or places[repair.action] <= _BESIDE_BULK:
            shown.append(repair)
    return shown[:_SHOWN_REPAIRS]


def _look_on(incident: Incident) -> Iterator[str]:
    """What explains the first target of its repairs, or what it is about."""
    first = next(iter(incident.repairs), None)
    kind, name = (first.target_type, first.target_id) if first else (incident.subject_type, incident.subject_id)
    if look := find_look(kind, name):
        yield look


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    """What is known, in words; the display policy may have left anything of it."""
    for name, value in evidence.items():
        label = f"{evidence.get('id_type', '')} ids".strip() if name == "ids" else name.replace("_", " ")
        if name not in _ON_THEIR_OWN and value not in (None, [], {}):
            yield f"{label} {_plain(value)}"


def _told(detail: Mapping[str, Any]) -> str:
    """What an entry of the timeline says: its sentence, or each of its facts."""
    if sentences := [str(detail[name]) for name in _SENTENCES if name in detail]:
        return sentences[0]
    if "outcome" in detail:
        said = filter(None, (detail.get("reason"), detail.get("code"), detail.get("target")))
        return f"{detail['outcome']}: {'; '.join(map(str, said))}"
    return "; ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in sorted(detail.items()))


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        known = (f"{name.replace('_', ' ')} {_plain(each)}" for name, each in pairs if each is not None)
        return f"({', '.join(known)})"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, cast("Sequence[object]", value)))
    if isinstance(value, str):
        return find_instant(value) or value
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _print_stacks(entries: Any) -> None:
    """What its tasks were doing, the innermost frame last; the display policy may have left anything of it."""
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else ():
        stack: dict[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {"stack": [entry]}
        lines: Any = stack.get("stack")
        say()
        say(f"WHAT {f'JOB {stack["job_id"]}' if stack.get('job_id') else 'IT'} IS DOING")
        for line in cast("list[Any]", lines) if isinstance(lines, list) else [lines]:
            for part in wrap(one_line(str(line)), terminal_width() - len(_STACK)):
                say(_STACK, part)
