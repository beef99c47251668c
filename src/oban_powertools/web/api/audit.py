"""The audit: list, read and verify its records, and take them out."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from ...acts import Action, TargetType
from ...errors import AuditRecordNotFoundError
from ...operators.audit import AuditFilter, AuditRecord, Outcome, Verification
from ...operators.audit.reading import AUDITED_ACTS
from ...operators.authorization import ActorType, Surface
from ..rates import Rate
from . import values
from .endpoint import BEFORE, LIMIT, SLOW, Call, Endpoint, Shape, cut_page
from .values import ID, INSTANT, Parameter

_RECORD: Final = Parameter(name="record_id", value=ID, about="The record.", required=True, example="7")
_FILTERS: Final = (
    Parameter(name="actor", value=values.text(most=1000), about="Only of this actor's id.", example="ada"),
    Parameter(name="action", value=values.word(AUDITED_ACTS), about="Only this act.", example="step_retry"),
    Parameter(name="target_type", value=values.word(TargetType), about="Only about this type of target."),
    Parameter(name="target_id", value=values.text(most=2000), about="Only about this target; with `target_type`."),
    Parameter(name="outcome", value=values.word(Outcome), about="Only with this outcome."),
    Parameter(name="actor_type", value=values.word(ActorType), about="Only of this kind of actor."),
    Parameter(name="surface", value=values.word(Surface), about="Only through this door."),
    Parameter(name="since", value=INSTANT, about="Only from this instant on."),
    Parameter(name="until", value=INSTANT, about="Only before this instant."),
)


async def list_audit(call: Call) -> Any:
    """Records that match all given filters, newest first."""
    names, limit = [one.argument for one in _FILTERS], call["limit"]
    found = await call.calls.audit.list(**call.only(*names, "before"), limit=limit + 1)
    return cut_page(found, limit, lambda record: record.id)


async def get_audit_record(call: Call) -> AuditRecord:
    """One record."""
    return await call.calls.audit.get(call["record_id"])


async def verify_audit(call: Call) -> Verification:
    """Compare every record with its hash, and every seal with its records and the seal before."""
    return await call.calls.audit.verify(**call.only("head"))


async def check_audit(call: Call) -> Verification:
    """Compare one record with its hash and its seal; without an id the newest 1,000. Fast."""
    return await call.calls.audit.check(call.values.get("record_id"))


async def export_audit(call: Call) -> Response:
    """Every record as a line of JSON, oldest first; the export itself is recorded before its first line."""
    names = [one.argument for one in _FILTERS]
    lines = call.calls.audit.export(chosen=AuditFilter(**call.only(*names)), **call.acting())
    # Before the answer begins: whether it is refused is known with the first line.
    first = await anext(lines, None)
    return StreamingResponse(_written(first, lines), media_type="application/jsonl")


async def _written(first: str | None, lines: AsyncGenerator[str]) -> AsyncGenerator[str]:
    if first is not None:
        yield f"{first}\n"
    async for line in lines:
        yield f"{line}\n"


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/audit",
        handler=list_audit,
        tag="Audit",
        answer=Shape(about="A page of records.", kind=AuditRecord, paged=True),
        query=(*_FILTERS, BEFORE, LIMIT),
    ),
    Endpoint(
        method="GET",
        path="/audit/verify",
        handler=verify_audit,
        tag="Audit",
        within=SLOW,
        answer=Shape(about="What was found.", kind=Verification),
        query=(
            Parameter(
                name="head",
                value=values.text(most=200),
                about="The head of an earlier verification: shows whether the chain was rewritten since.",
            ),
        ),
    ),
    Endpoint(
        method="GET",
        path="/audit/check",
        handler=check_audit,
        tag="Audit",
        answer=Shape(about="What was found.", kind=Verification),
        query=(Parameter(name="record_id", value=ID, about="Only this record."),),
        errors=(AuditRecordNotFoundError,),
    ),
    Endpoint(
        method="POST",
        path="/audit/export",
        handler=export_audit,
        tag="Audit",
        answer=Shape(about="A record on each line.", media=("application/jsonl",)),
        body=_FILTERS,
        act=Action.AUDIT_EXPORT,
        rate=Rate.CHANGE,
        repeat="Exports again, and records that.",
    ),
    Endpoint(
        method="GET",
        path="/audit/{record_id}",
        handler=get_audit_record,
        tag="Audit",
        answer=Shape(about="The record.", kind=AuditRecord, tagged=True),
        path_inputs=(_RECORD,),
        errors=(AuditRecordNotFoundError,),
    ),
)
