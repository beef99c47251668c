"""What the form of an act asks for, what an act and its target are called, and where a target is shown.

Derived from the registry of acts; a row here says only what a person has to type. Pure. The rule that must never break:
whether a reason or a confirmation is needed stands in ``acts`` alone.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from ..acts import Act, Action, Severity, TargetType
from ..database.json_border import read_json
from ..times import parse_span


@dataclass(frozen=True, slots=True, kw_only=True)
class ActField:
    """One thing that an act asks for, beside the reason."""

    name: str
    """Of the call's argument."""

    label: str
    """What stands above it."""

    hint: str
    """What to type."""

    read: Callable[[str], Any]
    """The value of what was typed. Raises ValueError with the sentence to show."""

    required: bool = True
    """Whether it may not be left empty."""

    long: bool = False
    """Whether it takes several lines."""


def _span(text: str) -> Any:
    span = parse_span(text)
    if span is None:
        raise ValueError(f"{text!r} is no duration: 90s, 30m, 2h or 1d.")
    return span


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'It is not JSON ({error}). Text needs its own quotes: "yes".') from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise ValueError(f"{text!r} is no number from 1 on.")
    return int(text)


_HOLD: Final = ActField(
    name="hold_for", label="How long", hint="90s, 30m, 2h or 1d. The hold ends by itself.", read=_span
)
_NODE: Final = ActField(
    name="node", label="On one node only", hint="Leave it empty for all of them.", read=str, required=False
)

FIELDS: Final[Mapping[Action, tuple[ActField, ...]]] = {
    Action.STEP_HOLD: (_HOLD,),
    Action.WORKFLOW_HOLD: (_HOLD,),
    Action.STEP_COMPLETE: (
        ActField(
            name="payload",
            label="Result",
            hint="JSON, which the steps behind it see as its result. Empty for none.",
            read=_json,
            required=False,
            long=True,
        ),
    ),
    Action.SIGNAL_REDIRECT: (
        ActField(name="to", label="To which step", hint="A step that waits, such as 41/approval.", read=str),
    ),
    Action.QUEUE_PAUSE: (_NODE,),
    Action.QUEUE_RESUME: (_NODE,),
    Action.QUEUE_SCALE: (
        ActField(name="limit", label="Jobs at once", hint="For each executor of the queue.", read=_whole),
        _NODE,
    ),
    Action.INCIDENT_ASSIGN: (
        ActField(name="assignee", label="Who", hint="Empty takes it from whoever has it.", read=str, required=False),
    ),
    Action.INCIDENT_NOTE: (
        ActField(
            name="note", label="Note", hint="For whoever reads the timeline; put no secrets here.", read=str, long=True
        ),
    ),
    Action.INCIDENT_MUTE: (ActField(name="mute_for", label="For how long", hint="90s, 30m, 2h or 1d.", read=_span),),
}
"""Act -> what it asks for; an act that is not here needs a reason at most."""

_TITLES: Final[Mapping[Action, str]] = {Action.EXECUTOR_RESCUE_ALL: "Rescue all jobs of executor {}"}
"""Act -> its title, where its name says too little."""

_PATHS: Final[Mapping[str, str]] = {
    TargetType.JOB: "/jobs/{}",
    TargetType.CALLBACK: "/jobs/{}",
    TargetType.WORKFLOW: "/workflows/{}",
    TargetType.QUEUE: "/queues/{}",
    TargetType.INCIDENT: "/incidents/{}",
    TargetType.WEBHOOK: "/webhooks/{}",
    "record": "/audit/{}",
    "preview": "/previews/{}",
}
_LISTS: Final[Mapping[str, str]] = {TargetType.EXECUTOR: "/executors", TargetType.SIGNAL: "/signals"}


def act_title(action: str, target_id: object) -> str:
    """An act on a target, as a heading.

    >>> act_title("job_rescue", 812), act_title("late_result_adopt", 9)
    ('Rescue job 812', 'Adopt late result 9')
    >>> act_title("executor_rescue_all", "app-7")
    'Rescue all jobs of executor app-7'
    """
    if action not in Action:
        return f"{_spaced(action).capitalize()} {target_id}"
    if title := _TITLES.get(Action(action)):
        return title.format(target_id)
    kind = Action(action).row.targets[0]
    return f"{act_verb(action)} {_spaced(kind)} {target_id}"


def act_verb(action: str) -> str:
    """The verb of an act, for a button.

    >>> act_verb("step_complete"), act_verb("executor_rescue_all"), act_verb("queue_pause")
    ('Complete', 'Rescue all', 'Pause')
    """
    if action not in Action:
        return _spaced(action).capitalize()
    return _spaced(action.removeprefix(f"{Action(action).row.targets[0]}_")).capitalize()


def act_row(action: str) -> Act | None:
    """The row of an act; None of one that only a newer release knows."""
    return Action(action).row if action in Action else None


def needs_form(action: str, to: object = None) -> bool:
    """Whether an act asks for something before its preview, or is done without one.

    Args:
        to: The step that takes a signal, where it is known.
    """
    row = act_row(action)
    if row is None or not row.previewed:
        return True
    return any(field.name != "to" or not to for field in FIELDS.get(Action(action), ()))


def target_path(kind: str, target_id: object) -> str | None:
    """Where a target is shown, below the console's own path; None where no page does.

    >>> target_path("step", "41/bill"), target_path("job", 812), target_path("late_result", 9)
    ('/workflows/41?step=bill', '/jobs/812', None)
    """
    text = str(target_id)
    if kind == TargetType.STEP:
        workflow_id, _, step = text.partition("/")
        return f"/workflows/{quote(workflow_id, safe='')}?{urlencode({'step': step})}"
    path = _PATHS.get(kind)
    return path.format(quote(text, safe="")) if path else _LISTS.get(kind)


def risk_of(severity: Severity, rows: int) -> Severity:
    """How much harm a mistake does, also by how much is changed at once.

    >>> risk_of(Severity.MEDIUM, 3).value, risk_of(Severity.MEDIUM, 26).value, risk_of(Severity.HIGH, 501).value
    ('medium', 'high', 'severe')
    """
    if severity is Severity.SEVERE or rows > _SEVERE_ABOVE:
        return Severity.SEVERE
    return Severity.HIGH if severity is Severity.HIGH or rows > _HIGH_ABOVE else severity


_HIGH_ABOVE: Final = 25
_SEVERE_ABOVE: Final = 500


def _spaced(name: str) -> str:
    return name.replace("_", " ")
