"""Signals: deliver a payload to the step that waits for its name and correlation key.

Runs in the caller's transaction. The rule that must never break: every delivery is a durable row, and wakes at most
one wait.
"""

from datetime import timedelta
from typing import Any

from ..arguments import LONGEST, as_flag, as_id, as_span, as_text, refuse, unless_none
from ..database import Session, json_border
from ..errors import Fault, UnstorableValueError
from .bounds import text_faults
from .records import SignalRecord


async def deliver(
    session: Session,
    signal: str,
    correlation_key: str,
    payload: Any,
    *,
    dedupe_key: str | None,
    workflow_id: int | str | None,
    expires_in: timedelta | float | None,
    only_begun: bool,
    payload_limit: int,
) -> SignalRecord:
    """Deliver one signal; the record has its status.

    Raises:
        UnstorableValueError: The payload is not JSON-safe or above the limit, or a name is empty.

    Locks: the dedupe key, then the workflow that waits or is named, as settle.
    """
    json_border.check_payload("the payload", payload, payload_limit)
    names = {"signal": signal, "correlation_key": correlation_key, "dedupe_key": dedupe_key}
    unless_none(as_text, "dedupe_key", dedupe_key)
    for name in ("signal", "correlation_key"):
        if not isinstance(names[name], str):
            raise refuse(name, names[name], "text")
    faults = [f for name, text in names.items() if text is not None for f in text_faults(text, f"signal.{name}")]
    if not signal or not correlation_key:
        faults.append(Fault(code="signal_required", message="a signal needs a name and a key"))
    if faults:
        raise UnstorableValueError("the signal", faults)
    if expires_in is not None:
        expires_in = as_span("expires_in", expires_in, least=timedelta(microseconds=1), most=LONGEST)
    args = {
        **names,
        "workflow_id": unless_none(as_id, "workflow_id", workflow_id),
        "expires_in": expires_in,
        "only_begun": as_flag("only_begun", only_begun),
        "payload": json_border.dumps(payload) if payload is not None else None,
    }
    delivered = await session.record(SignalRecord, "deliver_signal", args)
    assert delivered is not None
    return delivered
