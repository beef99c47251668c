"""Every public call is known here: what operators ask for is asked of the host's policy and recorded, all of it.

A new method of a facade without a row in this file fails.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import oban_powertools
from oban_powertools import Cursor, Powertools
from oban_powertools.acts import REPAIRS
from oban_powertools.config import Settings
from oban_powertools.errors import NotAuthorizedError
from oban_powertools.operators.authorization import Action, Actor, Target
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.troubles import TROUBLES, project

ADA: Any = {"actor": "ada", "reason": "because of a test"}
URL = "https://example.com/"
HOUR = timedelta(hours=1)

READ = {
    "workflows": {
        "get",
        "find",
        "list",
        "steps",
        "list_steps",
        "outline",
        "spells",
        "list_signals",
        "list_waits",
        "history",
        "results",
        "callbacks",
        "wait",
        "commands",
        "to_mermaid",
        "export",
        "to_dot",
    },
    "queues": {"list", "get"},
    "jobs": {"list", "get", "count"},
    "explain": {"workflow", "workflow_step", "job"},
    "events": {
        "head",
        "read",
        "read_topic",
        "subscribe",
        "subscribe_all",
        "subscribe_audit",
        "subscribe_executors",
        "subscribe_incidents",
        "subscribe_workflow",
        "topic_all",
        "topic_workflow",
    },
    "metrics": {"read"},
    "shared_settings": {"list_settings"},
    "webhooks": {"list", "get", "deliveries", "outcomes"},
    "audit": {"list", "get", "verify", "check"},
    "lifeline": {
        "list_executor_health",
        "count_executors",
        "retention_status",
        "list_incidents",
        "incidents_seen_ago",
        "count_incidents",
        "get_incident",
        "list_previews",
        "list_upcoming",
        "get_preview",
        "find_preview_of",
        "check_preview",
        "find_execution",
        "find_approval",
        "find_execution_refusal",
        "bulk_status",
    },
}
"""What changes nothing."""

OWN = {
    "workflows": {"insert", "insert_many", "signal"},
    "events": {"stop"},
    "metrics": {"count"},
    "webhooks": {"dispatch", "sweep", "test"},
    "lifeline": {"refresh_heartbeats", "project_incidents"},
}
"""What the host's own program does, and what Powertools does by itself; sending a ping changes nothing here."""


@dataclass
class Scene:
    """What calls are about."""

    hand: Hand
    workflow_id: WorkflowId
    kept: dict[str, Any] = field(default_factory=dict[str, Any])
    """What was prepared while everything was allowed."""


type Call = Callable[[Powertools, Scene], Awaitable[Any]]


@dataclass(frozen=True)
class Row:
    """One call of an operator."""

    asks: tuple[Action, ...]
    """What the host is asked for, in order."""

    call: Call
    prepare: Call | None = None
    recorded: bool = True
    """False for a preview, which leaves nothing behind but itself."""


async def _an_incident(_: Powertools, scene: Scene) -> None:
    await TROUBLES["orphaned_jobs"].happen(scene.hand)
    [found] = (await project(scene.hand)).values()
    scene.kept["incident"] = found.id


async def _a_webhook(powertools: Powertools, scene: Scene) -> None:
    scene.kept["webhook"] = (await powertools.webhooks.add(URL, **ADA)).endpoint.id


async def _a_queue(_: Powertools, scene: Scene) -> None:
    await scene.hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'n', 'default')")


async def _a_job(_: Powertools, scene: Scene) -> None:
    scene.kept["job"] = (await scene.hand.job(scene.workflow_id, "s0")).id


async def _a_failure(_: Powertools, scene: Scene) -> None:
    await scene.hand.run(scene.workflow_id, {"s0": ValueError("no")})


async def _a_preview(powertools: Powertools, scene: Scene) -> None:
    found = await powertools.lifeline.preview_repair(
        "ada", action="workflow_cancel", target_type="workflow", target_id=scene.workflow_id
    )
    scene.kept["token"] = found.preview_token


async def _a_preview_of_another(_: Powertools, scene: Scene) -> None:
    found = await scene.hand.powertools.lifeline.preview_repair(
        "grace", action="workflow_cancel", target_type="workflow", target_id=scene.workflow_id
    )
    scene.kept["preview"] = found.id


async def _a_bulk(powertools: Powertools, scene: Scene) -> None:
    found = await powertools.lifeline.preview_bulk("ada", "workflow_cancel", {"workflow_name": "chain"})
    scene.kept["token"] = found.preview_token


async def _hold(powertools: Powertools, scene: Scene) -> None:
    await powertools.workflows.hold(scene.workflow_id, hold_for=HOUR, **ADA)


async def _export(powertools: Powertools, _: Scene) -> None:
    async for _line in powertools.audit.export(actor="ada"):
        pass


WEBHOOK = (Action.MANAGE_WEBHOOKS,)
ROWS: dict[str, Row] = {
    "workflows.request_cancel": Row(
        (Action.WORKFLOW_CANCEL,), lambda p, s: p.workflows.request_cancel(s.workflow_id, **ADA)
    ),
    "workflows.recover": Row(
        (Action.WORKFLOW_RETRY,), lambda p, s: p.workflows.recover(s.workflow_id, **ADA), prepare=_a_failure
    ),
    "workflows.hold": Row((Action.WORKFLOW_HOLD,), _hold),
    "workflows.release": Row(
        (Action.WORKFLOW_RELEASE,), lambda p, s: p.workflows.release(s.workflow_id, **ADA), prepare=_hold
    ),
    "workflows.complete_step": Row(
        (Action.STEP_COMPLETE,), lambda p, s: p.workflows.complete_step(s.workflow_id, "s0", **ADA)
    ),
    "events.publish": Row((Action.STEP_PUBLISH,), lambda p, s: p.events.publish(s.workflow_id, "s0", "started", **ADA)),
    "lifeline.acknowledge_incident": Row(
        (Action.INCIDENT_ACKNOWLEDGE,),
        lambda p, s: p.lifeline.acknowledge_incident(s.kept["incident"], actor="ada"),
        prepare=_an_incident,
    ),
    "lifeline.assign_incident": Row(
        (Action.INCIDENT_ASSIGN,),
        lambda p, s: p.lifeline.assign_incident(s.kept["incident"], "kim", actor="ada"),
        prepare=_an_incident,
    ),
    "lifeline.note_incident": Row(
        (Action.INCIDENT_NOTE,),
        lambda p, s: p.lifeline.note_incident(s.kept["incident"], "seen", actor="ada"),
        prepare=_an_incident,
    ),
    "lifeline.mute_incident": Row(
        (Action.INCIDENT_MUTE,),
        lambda p, s: p.lifeline.mute_incident(s.kept["incident"], until=datetime.now(UTC) + HOUR, **ADA),
        prepare=_an_incident,
    ),
    "lifeline.preview_repair": Row((Action.PREVIEW_REPAIR,), _a_preview, recorded=False),
    "lifeline.execute_repair": Row(
        (Action.EXECUTE_REPAIR, Action.WORKFLOW_CANCEL),
        lambda p, s: p.lifeline.execute_repair("ada", s.kept["token"], ADA["reason"]),
        prepare=_a_preview,
    ),
    "lifeline.approve_repair": Row(
        (Action.REPAIR_APPROVE,),
        lambda p, s: p.lifeline.approve_repair("ada", s.kept["preview"], ADA["reason"]),
        prepare=_a_preview_of_another,
    ),
    "lifeline.preview_bulk": Row((Action.PREVIEW_BULK,), _a_bulk, recorded=False),
    "lifeline.execute_bulk": Row(
        (Action.EXECUTE_BULK, Action.EXECUTE_REPAIR, Action.WORKFLOW_CANCEL),
        lambda p, s: p.lifeline.execute_bulk("ada", s.kept["token"], ADA["reason"]),
        prepare=_a_bulk,
    ),
    "lifeline.run_archive_prune": Row(
        (Action.ARCHIVE_PRUNE,), lambda p, _: p.lifeline.run_archive_prune("ada", reason=ADA["reason"])
    ),
    "shared_settings.change": Row(
        (Action.SETTINGS_CHANGE,), lambda p, _: p.shared_settings.change("incident_failing_count", 7, **ADA)
    ),
    "webhooks.add": Row(WEBHOOK, _a_webhook),
    "webhooks.update": Row(
        WEBHOOK, lambda p, s: p.webhooks.update(s.kept["webhook"], description="x", **ADA), prepare=_a_webhook
    ),
    "webhooks.rotate_secret": Row(
        WEBHOOK, lambda p, s: p.webhooks.rotate_secret(s.kept["webhook"], **ADA), prepare=_a_webhook
    ),
    "webhooks.disable": Row(WEBHOOK, lambda p, s: p.webhooks.disable(s.kept["webhook"], **ADA), prepare=_a_webhook),
    "webhooks.enable": Row(WEBHOOK, lambda p, s: p.webhooks.enable(s.kept["webhook"], **ADA), prepare=_a_webhook),
    "webhooks.remove": Row(WEBHOOK, lambda p, s: p.webhooks.remove(s.kept["webhook"], **ADA), prepare=_a_webhook),
    "webhooks.replay": Row(WEBHOOK, lambda p, s: p.webhooks.replay(s.kept["webhook"], **ADA), prepare=_a_webhook),
    "jobs.reveal": Row(
        (Action.REVEAL_VALUE,), lambda p, s: p.jobs.reveal(s.kept["job"], what="args", **ADA), prepare=_a_job
    ),
    "workflows.reveal": Row(
        (Action.REVEAL_VALUE,), lambda p, s: p.workflows.reveal(s.workflow_id, what="context", **ADA)
    ),
    "queues.pause": Row((Action.QUEUE_PAUSE,), lambda p, _: p.queues.pause("default", **ADA), prepare=_a_queue),
    "queues.resume": Row((Action.QUEUE_RESUME,), lambda p, _: p.queues.resume("default", **ADA), prepare=_a_queue),
    "queues.scale": Row((Action.QUEUE_SCALE,), lambda p, _: p.queues.scale("default", 3, **ADA), prepare=_a_queue),
    "audit.export": Row((Action.AUDIT_EXPORT,), _export),
}
"""Facade and method -> what it asks for, and a call of it."""


def facades(powertools: Powertools) -> dict[str, object]:
    """What hangs on Powertools and is ours, but for settings."""
    found = {name: value for name, value in vars(powertools).items() if not name.startswith("_")}
    ours = {n: v for n, v in found.items() if type(v).__module__.startswith(oban_powertools.__name__)}
    return {name: value for name, value in ours.items() if not isinstance(value, Settings)}


def methods(facade: object) -> set[str]:
    return {name for name, _ in inspect.getmembers(type(facade), callable) if not name.startswith("_")}


@pytest.fixture
async def scene(hand: Hand) -> Scene:
    return Scene(hand, await hand.insert(chain(1)))


async def test_every_method_of_every_facade_is_known_here(hand: Hand) -> None:
    found = facades(hand.powertools)
    known = {(name, method) for part in (READ, OWN) for name, known in part.items() for method in known}
    asked = {tuple(name.split(".")) for name in ROWS}

    assert {(name, method) for name, facade in found.items() for method in methods(facade)} == known | asked
    assert known & asked == set()


async def test_exactly_the_calls_that_name_an_actor_are_those_of_operators(hand: Hand) -> None:
    def names_an_actor(method: Any) -> bool:
        given = inspect.signature(method).parameters.get("actor")
        return given is not None and "ActorLike" in str(given.annotation)

    found = facades(hand.powertools)
    named = {
        f"{name}.{method}"
        for name, facade in found.items()
        for method in methods(facade)
        if names_an_actor(getattr(facade, method))
    }

    assert named == set(ROWS)


def test_every_action_of_the_enum_is_asked_for_by_something() -> None:
    assert {action for row in ROWS.values() for action in row.asks} | set(REPAIRS) == set(Action)


@pytest.mark.parametrize("name", ROWS)
async def test_it_asks_the_host_and_leaves_its_record(scene: Scene, name: str) -> None:
    powertools, row = scene.hand.powertools, ROWS[name]
    asked: list[Action] = []

    def note(_: Actor, action: Action, __: Target) -> bool:
        asked.append(action)
        return True

    if row.prepare is not None:
        await row.prepare(powertools, scene)
    before = len(await powertools.audit.list())
    powertools._services.guard._authorize = note
    await row.call(powertools, scene)

    assert tuple(asked) == row.asks
    records = await powertools.audit.list()
    kept = records[: len(records) - before]
    assert {(record.actor_id, record.outcome) for record in kept} == ({("ada", "executed")} if row.recorded else set())
    assert {record.action for record in kept} <= set(row.asks)


@pytest.mark.parametrize("name", ROWS)
async def test_refused_it_changes_nothing_and_leaves_its_record(scene: Scene, name: str) -> None:
    powertools, row = scene.hand.powertools, ROWS[name]
    if row.prepare is not None:
        await row.prepare(powertools, scene)
    before = len(await powertools.audit.list())
    steps = await scene.hand.steps(scene.workflow_id)
    head = await powertools.events.head()
    powertools._services.guard._authorize = lambda *_: False

    with pytest.raises(NotAuthorizedError):
        await row.call(powertools, scene)

    assert await scene.hand.steps(scene.workflow_id) == steps
    assert await powertools.events.read(since=Cursor(head)) == []
    records = await powertools.audit.list()
    [kept] = records[: len(records) - before]
    assert (kept.actor_id, kept.outcome, kept.details["code"]) == ("ada", "refused", "not_authorized")
    assert kept.action in row.asks
