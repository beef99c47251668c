"""Signals that nobody took, and waits that nobody ended. What changes one is a repair (``previews``)."""

from typing import Any, Final

from ...workflows import OpenWait, StoredSignal
from . import values
from .endpoint import BEFORE, LIMIT, Call, Endpoint, Shape, cut_page
from .values import ID, INSTANT, Parameter

_NAMED: Final = (
    Parameter(name="signal", value=values.text(), about="Only of this name."),
    Parameter(name="correlation_key", value=values.text(), about="Only with this key."),
)
_SENT: Final = (
    *_NAMED,
    Parameter(name="workflow_id", value=ID, about="Only those whose sender named this workflow."),
    Parameter(name="inserted_from", value=INSTANT, about="Delivered at this instant or later."),
    Parameter(name="inserted_to", value=INSTANT, about="Delivered before this instant."),
)
_WAITING: Final = (
    *_NAMED,
    Parameter(name="workflow_id", value=ID, about="Only of this workflow."),
    Parameter(name="registered_from", value=INSTANT, about="Begun at this instant or later."),
    Parameter(name="registered_to", value=INSTANT, about="Begun before this instant."),
)


async def list_signals(call: Call) -> Any:
    """Signals that no wait has taken yet, newest first."""
    names, limit = [one.argument for one in _SENT], call["limit"]
    found = await call.calls.workflows.list_signals(**call.only(*names, "before"), limit=limit + 1)
    return cut_page(found, limit, lambda signal: signal.id)


async def list_waits(call: Call) -> Any:
    """Waits that no signal has ended yet, newest first."""
    names, limit = [one.argument for one in _WAITING], call["limit"]
    found = await call.calls.workflows.list_waits(**call.only(*names, "before"), limit=limit + 1)
    return cut_page(found, limit, lambda wait: wait.id)


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/signals",
        handler=list_signals,
        tag="Signals",
        answer=Shape(about="A page of signals.", kind=StoredSignal, paged=True),
        query=(*_SENT, BEFORE, LIMIT),
    ),
    Endpoint(
        method="GET",
        path="/waits",
        handler=list_waits,
        tag="Signals",
        answer=Shape(about="A page of waits.", kind=OpenWait, paged=True),
        query=(*_WAITING, BEFORE, LIMIT),
    ),
)
