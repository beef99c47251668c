"""Incidents: list, read, acknowledge, assign, note and mute them, and the executors that many are about."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from ...acts import Action
from ...errors import IncidentNotFoundError, IncidentResolvedError, PowertoolsError
from ...incident_classes import IncidentClass
from ...lifeline import ExecutorCounts, ExecutorHealth, Incident, IncidentCounts, Upcoming
from ...states import ExecutorStatus, IncidentState, IncidentStatus
from ..rates import Rate
from . import values
from .endpoint import BEFORE, CURSOR, LIMIT, Call, Endpoint, Shape, cut_page, page
from .values import INSTANT, PROSE, Parameter, or_null
from .workflows import REASON

_INCIDENT: Final = Parameter(
    name="incident",
    value=values.text(most=1000, whole_path=True),
    about="Its id or its fingerprint.",
    required=True,
    example="12",
)
_EXECUTOR_STATUS: Final = Parameter(
    name="status", value=values.word(ExecutorStatus), about="Only with this operator's word."
)
_AFTER_EXECUTOR: Final = Parameter(name="cursor", value=values.text(most=4000), about=CURSOR, to="after")
"""Longer than other cursors: it holds names."""

_FILTERS: Final = (
    Parameter(
        name="state", value=values.word(IncidentState), about="Only in this state; without it those that are open."
    ),
    Parameter(
        name="status",
        value=values.word(IncidentStatus),
        about="Only with this operator's word, which also tells those that are muted; then `state` may be any.",
    ),
    Parameter(name="class", value=values.word(IncidentClass), about="Only of this class.", to="incident_class"),
    Parameter(
        name="text",
        value=values.text(most=1000),
        about="Only with this in fingerprint, subject or assignee.",
    ),
    Parameter(name="opened_from", value=INSTANT, about="Opened, or come back, at this instant or later."),
)


async def list_incidents(call: Call) -> Any:
    """Incidents as they were last projected, the last opened first."""
    limit = call["limit"]
    names = (*(one.argument for one in _FILTERS), "before")
    found = await call.calls.lifeline.list_incidents(**call.only(*names), limit=limit + 1)
    return cut_page(
        found, limit, lambda incident: incident.id, seen_ago_seconds=await call.calls.lifeline.incidents_seen_ago()
    )


async def count_incidents(call: Call) -> IncidentCounts:
    """How many incidents there are in each state, and what they affect."""
    return await call.calls.lifeline.count_incidents()


async def get_incident(call: Call) -> Incident:
    """One incident, with its evidence, the repairs that are legal now, and its timeline."""
    return await call.calls.lifeline.get_incident(call["incident"])


async def acknowledge_incident(call: Call) -> Incident:
    """Record that a person has seen it."""
    return await call.calls.lifeline.acknowledge_incident(call["incident"], **call.acting())


async def assign_incident(call: Call) -> Incident:
    """Record who takes care of it."""
    return await call.calls.lifeline.assign_incident(call["incident"], call["assignee"], **call.acting())


async def note_incident(call: Call) -> Incident:
    """Add a note to its timeline."""
    return await call.calls.lifeline.note_incident(call["incident"], call["note"], **call.acting())


async def mute_incident(call: Call) -> Incident:
    """Send no messages about it until an instant."""
    return await call.calls.lifeline.mute_incident(call["incident"], until=call["until"], **call.reasoned())


async def list_executors(call: Call) -> Any:
    """Executors: those that were replaced or have stopped last; then by queue, node and id."""
    limit = call["limit"]
    found = await call.calls.lifeline.list_executor_health(**call.only("status", "after"), limit=limit + 1)
    return cut_page(found, limit, attrgetter("cursor"))


async def count_executors(call: Call) -> ExecutorCounts:
    """How many executors have which health, and when the last heartbeat came."""
    return await call.calls.lifeline.count_executors()


async def list_upcoming(call: Call) -> Any:
    """What happens next by itself if nobody acts: rescues, retries, deadlines, ends of holds; the soonest first."""
    return page(await call.calls.lifeline.list_upcoming(limit=call["limit"]), None)


def _post(
    word: str, handler: Callable[..., Any], act: Action, repeat: str, *body: Parameter, errors: tuple[Any, ...] = ()
) -> Endpoint:
    also: tuple[type[PowertoolsError], ...] = errors
    return Endpoint(
        method="POST",
        path=f"/incidents/{{incident}}/{word}",
        handler=handler,
        tag="Incidents",
        answer=Shape(about="The incident as it is then.", kind=Incident),
        path_inputs=(_INCIDENT,),
        body=body,
        act=act,
        rate=Rate.CHANGE,
        repeat=repeat,
        errors=(IncidentNotFoundError, *also),
    )


_SAME: Final = "The incident stays as it is then; the audit and the timeline have another entry."

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/incidents",
        handler=list_incidents,
        tag="Incidents",
        answer=Shape(
            about="A page of incidents. `seen_ago_seconds`: since a process last looked for them; null when none "
            "ever did.",
            kind=Incident,
            paged=True,
            extra={"seen_ago_seconds": float | None},
        ),
        query=(*_FILTERS, BEFORE, LIMIT),
    ),
    Endpoint(
        method="GET",
        path="/incidents/counts",
        handler=count_incidents,
        tag="Incidents",
        answer=Shape(about="The numbers.", kind=IncidentCounts),
    ),
    _post("acknowledge", acknowledge_incident, Action.INCIDENT_ACKNOWLEDGE, _SAME, errors=(IncidentResolvedError,)),
    _post(
        "assign",
        assign_incident,
        Action.INCIDENT_ASSIGN,
        _SAME,
        Parameter(
            name="assignee",
            value=or_null(values.text(most=200)),
            about="Who takes care of it; null for nobody.",
            required=True,
            example="ada",
        ),
    ),
    _post(
        "note",
        note_incident,
        Action.INCIDENT_NOTE,
        "Adds the note again.",
        Parameter(name="note", value=PROSE, about="The note.", required=True, example="the node comes back at four"),
    ),
    _post(
        "mute",
        mute_incident,
        Action.INCIDENT_MUTE,
        _SAME,
        Parameter(
            name="until",
            value=INSTANT,
            about="No messages before this instant, which is in the future.",
            required=True,
            example="2099-11-21T13:10:00Z",
        ),
        REASON,
        errors=(IncidentResolvedError,),
    ),
    Endpoint(
        method="GET",
        path="/incidents/{incident}",
        handler=get_incident,
        tag="Incidents",
        answer=Shape(about="The incident.", kind=Incident, tagged=True),
        path_inputs=(_INCIDENT,),
        errors=(IncidentNotFoundError,),
    ),
    Endpoint(
        method="GET",
        path="/upcoming",
        handler=list_upcoming,
        tag="Incidents",
        answer=Shape(about="All of them, at most 100.", kind=Upcoming, paged=True),
        query=(LIMIT,),
    ),
    Endpoint(
        method="GET",
        path="/executors",
        handler=list_executors,
        tag="Executors",
        answer=Shape(about="A page of them.", kind=ExecutorHealth, paged=True),
        query=(_EXECUTOR_STATUS, _AFTER_EXECUTOR, LIMIT),
    ),
    Endpoint(
        method="GET",
        path="/executors/counts",
        handler=count_executors,
        tag="Executors",
        answer=Shape(about="The numbers.", kind=ExecutorCounts),
    ),
)
