"""Repairs as a test wants them: on the fixture ``hand``."""

from collections.abc import Sequence
from typing import Any

from oban_powertools.lifeline.repairs import Change, RepairDone, RepairPreview
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain

OPERATOR = {"id": "ops-1"}
REASON = "because the bank is back"

KEYS = {
    "powertools.workflows": "id",
    "powertools.steps": "workflow_id, position",
    "oban_jobs": "id",
    "powertools.waits": "id",
    "powertools.signals": "id",
    "powertools.events": "workflow_id, number",
    "powertools.event_batches": "id",
    "powertools.rescues": "id",
    "powertools.late_results": "id",
    "powertools.deferred_starts": "job_id",
    "powertools.settle_faults": "job_id",
}

EVERYTHING = "SELECT jsonb_build_object({})".format(
    ", ".join(
        f"'{table}', (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY {key}), '[]') FROM {table} t WHERE {of_them})"
        for table, key in KEYS.items()
        for of_them in ("workflow_ids <> '{}'" if table == "powertools.event_batches" else "true",)
    )
)


async def preview(hand: Hand, action: str, target_id: Any, actor: Any = OPERATOR, **more: Any) -> RepairPreview:
    """A preview; the target's type is the action's first word."""
    target_type = {"late": "late_result"}.get(action.partition("_")[0], action.partition("_")[0])
    return await hand.powertools.lifeline.preview_repair(
        actor, action=action, target_type=target_type, target_id=str(target_id), **more
    )


async def execute(hand: Hand, shown: RepairPreview, actor: Any = OPERATOR, reason: str = REASON) -> RepairDone:
    assert shown.preview_token is not None
    return await hand.powertools.lifeline.execute_repair(actor, shown.preview_token, reason)


async def repair(hand: Hand, action: str, target_id: Any, **more: Any) -> RepairPreview:
    """Previewed and executed."""
    shown = await preview(hand, action, target_id, **more)
    await execute(hand, shown)
    return shown


def fields(changes: Sequence[Change], source: str) -> dict[str, dict[str, Any]]:
    """Id -> column -> what it becomes, of the rows of one kind."""
    return {c.id: {name: after for name, (_, after) in c.fields.items()} for c in changes if c.source == source}


async def outcomes(hand: Hand) -> list[tuple[str, str, str]]:
    """(action, outcome, code) of each record of the audit, oldest first."""
    rows = await hand.rows("SELECT action, outcome, details ->> 'code' AS code FROM powertools.audit ORDER BY id")
    return [(row["action"], row["outcome"], row["code"]) for row in rows]


async def everything(hand: Hand) -> dict[str, Any]:
    """Table -> its rows, of all that a repair may change; without previews, audit, commands and what tells of them."""
    return await hand.one(EVERYTHING) or {}


async def failed_chain(hand: Hand, length: int = 3) -> WorkflowId:
    workflow_id = await hand.insert(chain(length))
    await hand.run(workflow_id, {"s0": ValueError("the bank is down")})
    return workflow_id
