"""Reveal: a value that the display policy hides, to whoever may see it and says why; the audit never has the value."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from oban import Job

from oban_powertools import DisplayPolicy, Powertools, Revealed, Workflow
from oban_powertools.errors import (
    InvalidArgumentError,
    JobNotFoundError,
    NotAuthorizedError,
    ReasonRequiredError,
    ReasonTooShortError,
    StepNotFoundError,
    WorkflowNotFoundError,
)
from oban_powertools.operators.authorization import Action, Actor, Target
from oban_powertools.operators.revealing import VALUES_OF
from oban_powertools.states import JobId, WorkflowId
from tests.support.by_hand import Hand
from tests.support.dumped import dumped

CANARY = "velvet-and-nothing-else"
ADA: Any = {"actor": "ada", "reason": "ticket 5512 of the bank"}
SECRET = {"password": CANARY, "order": 7}

APPLICATION = {"powertools.workflows", "powertools.steps", "public.oban_jobs"}
"""Tables that hold the application's own data."""


@dataclass
class Scene:
    hand: Hand
    workflow_id: WorkflowId
    done: JobId
    failed: JobId


@pytest.fixture
async def scene(hand: Hand) -> Scene:
    """A workflow with a step that kept a secret, and one that failed with one in its error."""
    workflow = Workflow("leaky", context=SECRET, tags=["north"])
    worker = "tests.support.by_hand.Scripted"
    workflow.add("done", Job(worker, args=SECRET, meta={"session_token": CANARY}, queue="mail", max_attempts=1))
    workflow.add("failed", Job(worker, args=SECRET, max_attempts=1))
    workflow_id = await hand.insert(workflow)
    jobs = {name: JobId((await hand.job(workflow_id, name)).id or 0) for name in ("done", "failed")}
    await hand.run(workflow_id, {"done": SECRET, "failed": ValueError(f"password={CANARY}")})
    return Scene(hand, workflow_id, jobs["done"], jobs["failed"])


type Reveal = Callable[[Powertools, Scene], Awaitable[Revealed]]

REVEALS: dict[tuple[str, str], Reveal] = {
    ("job", "args"): lambda p, s: p.jobs.reveal(s.done, what="args", **ADA),
    ("job", "meta"): lambda p, s: p.jobs.reveal(s.done, what="meta", **ADA),
    ("job", "error"): lambda p, s: p.jobs.reveal(s.failed, what="error", **ADA),
    ("step", "args"): lambda p, s: p.workflows.reveal(s.workflow_id, "done", what="args", **ADA),
    ("step", "result"): lambda p, s: p.workflows.reveal(s.workflow_id, "done", what="result", **ADA),
    ("step", "error"): lambda p, s: p.workflows.reveal(s.workflow_id, "failed", what="error", **ADA),
    ("workflow", "context"): lambda p, s: p.workflows.reveal(s.workflow_id, what="context", **ADA),
}
"""Type of target and value -> how it is revealed."""

EACH = pytest.mark.parametrize("each", REVEALS, ids=" ".join)


def under(scene: Scene, *, display: DisplayPolicy | None = None, authorize: Any = None) -> Any:
    """The calls under another policy."""
    powertools: Any = scene.hand.powertools.under(display=display, authorize=authorize)
    return powertools


def test_every_value_that_can_be_revealed_is_here() -> None:
    assert set(REVEALS) == {(kind.value, what.value) for kind, whats in VALUES_OF.items() for what in whats}


@EACH
async def test_it_shows_the_value_with_what_the_policy_hides(scene: Scene, each: tuple[str, str]) -> None:
    revealed = await REVEALS[each](scene.hand.powertools, scene)

    assert CANARY in str(revealed.value)
    assert (revealed.target.split()[0], revealed.what) == each


@EACH
async def test_the_record_says_who_saw_what_and_why_and_nothing_of_the_value(
    scene: Scene, each: tuple[str, str]
) -> None:
    revealed = await REVEALS[each](scene.hand.powertools, scene)

    record = await scene.hand.powertools.audit.get(revealed.audit_id)
    assert (record.actor_id, record.action, record.outcome) == ("ada", "reveal_value", "executed")
    assert (f"{record.target_type} {record.target_id}", record.reason) == (revealed.target, ADA["reason"])
    assert (record.details, record.before, record.after) == ({"what": each[1]}, None, None)
    assert record.workflow_id == scene.workflow_id


@EACH
async def test_no_table_of_ours_keeps_what_was_seen(scene: Scene, each: tuple[str, str]) -> None:
    before = await dumped(scene.hand.conn)
    await REVEALS[each](scene.hand.powertools, scene)
    after = await dumped(scene.hand.conn)

    changed = {table for table in after if after[table] != before[table]}
    assert changed & APPLICATION == set()
    assert [line for table in changed for line in after[table] if CANARY in line] == []


@EACH
async def test_it_is_no_repair_so_nobody_on_call_is_told_of_one(scene: Scene, each: tuple[str, str]) -> None:
    head = await scene.hand.powertools.events.head()

    await REVEALS[each](scene.hand.powertools, scene)

    assert await scene.hand.powertools.events.head() == head


@EACH
async def test_a_value_is_not_returned_unless_its_record_is_kept(scene: Scene, each: tuple[str, str]) -> None:
    await scene.hand.rows(
        "ALTER TABLE powertools.audit ADD CONSTRAINT full_disk CHECK (action <> 'reveal_value') NOT VALID"
    )
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            await REVEALS[each](scene.hand.powertools, scene)
    finally:
        await scene.hand.rows("ALTER TABLE powertools.audit DROP CONSTRAINT full_disk")


# ---- refused


@EACH
async def test_whoever_may_not_sees_nothing_and_the_attempt_is_recorded(scene: Scene, each: tuple[str, str]) -> None:
    calls = under(scene, authorize=lambda *_: False)

    with pytest.raises(NotAuthorizedError) as refused:
        await REVEALS[each](calls, scene)

    [record, *_] = await scene.hand.powertools.audit.list(action="reveal_value")
    assert (record.actor_id, record.outcome, record.details["code"]) == ("ada", "refused", "not_authorized")
    assert record.details["what"] == each[1]
    assert CANARY not in f"{refused.value}{record}"


class Never(DisplayPolicy):
    def may_reveal(self, kind: Any, value: Any) -> bool:
        return False


class Fails(DisplayPolicy):
    def may_reveal(self, kind: Any, value: Any) -> bool:
        raise ValueError(CANARY)


class Unsure(DisplayPolicy):
    def may_reveal(self, kind: Any, value: Any) -> Any:
        return "yes"


@EACH
@pytest.mark.parametrize("policy", [Never(), Fails(), Unsure()], ids=lambda policy: type(policy).__name__)
async def test_a_display_policy_that_does_not_say_true_refuses_whoever_asks(
    scene: Scene, each: tuple[str, str], policy: DisplayPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotAuthorizedError, match="the display policy does not let it be revealed") as refused:
        await REVEALS[each](under(scene, display=policy), scene)

    [record, *_] = await scene.hand.powertools.audit.list(action="reveal_value")
    assert record.outcome == "refused"
    assert CANARY not in f"{refused.value}{record}{caplog.text}"


async def test_a_display_policy_refuses_by_kind_and_value(scene: Scene) -> None:
    asked: list[tuple[str, Any]] = []

    class Notes(DisplayPolicy):
        def may_reveal(self, kind: Any, value: Any) -> bool:
            asked.append((kind.value, value))
            return True

    await REVEALS["step", "result"](under(scene, display=Notes()), scene)

    assert asked == [("result", SECRET)]


@EACH
async def test_an_agent_never_gets_one(scene: Scene, each: tuple[str, str]) -> None:
    agent = {"id": "helper", "type": "agent"}
    calls = scene.hand.powertools
    given: Any = {"what": each[1], "actor": agent, "reason": ADA["reason"]}
    step = {"step": "done", "workflow": None}

    with pytest.raises(NotAuthorizedError, match="never to an agent"):
        if each[0] == "job":
            await calls.jobs.reveal(scene.done, **given)
        else:
            await calls.workflows.reveal(scene.workflow_id, step[each[0]], **given)

    [record, *_] = await calls.audit.list(action="reveal_value")
    assert (record.actor_id, record.actor_type, record.outcome) == ("helper", "agent", "refused")


@pytest.mark.parametrize(("reason", "error"), [("", ReasonRequiredError), ("short", ReasonTooShortError)])
async def test_it_needs_a_reason(scene: Scene, reason: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await scene.hand.powertools.jobs.reveal(scene.done, what="args", actor="ada", reason=reason)

    [record, *_] = await scene.hand.powertools.audit.list(action="reveal_value")
    assert record.outcome == "refused"


@pytest.mark.parametrize(
    ("kind", "what"),
    [("job", "result"), ("job", "context"), ("step", "meta"), ("step", "context"), ("workflow", "args"), ("job", "x")],
)
async def test_only_values_that_its_target_has_can_be_asked_for(scene: Scene, kind: str, what: str) -> None:
    calls = scene.hand.powertools
    with pytest.raises(InvalidArgumentError):
        if kind == "job":
            await calls.jobs.reveal(scene.done, what=what, **ADA)
        else:
            await calls.workflows.reveal(scene.workflow_id, "done" if kind == "step" else None, what=what, **ADA)


async def test_of_what_is_gone_there_is_nothing_to_reveal_and_the_attempt_is_recorded(scene: Scene) -> None:
    calls = scene.hand.powertools
    with pytest.raises(JobNotFoundError):
        await calls.jobs.reveal(JobId(99), what="args", **ADA)
    with pytest.raises(WorkflowNotFoundError):
        await calls.workflows.reveal(WorkflowId(99), what="context", **ADA)
    with pytest.raises(StepNotFoundError):
        await calls.workflows.reveal(scene.workflow_id, "nothing", what="args", **ADA)

    records = await calls.audit.list(action="reveal_value")
    assert [(record.target_type, record.outcome) for record in records] == [
        ("step", "refused"),
        ("workflow", "refused"),
        ("job", "refused"),
    ]


async def test_a_value_that_does_not_exist_is_none_and_recorded(scene: Scene) -> None:
    revealed = await scene.hand.powertools.jobs.reveal(scene.done, what="error", **ADA)

    assert revealed.value is None
    assert (await scene.hand.powertools.audit.get(revealed.audit_id)).outcome == "executed"


async def test_the_hosts_policy_is_asked_with_the_facts_of_the_target(scene: Scene) -> None:
    asked: list[tuple[Action, Target]] = []

    def note(_: Actor, action: Action, target: Target) -> bool:
        asked.append((action, target))
        return True

    calls = under(scene, authorize=note)
    await REVEALS["job", "args"](calls, scene)
    await REVEALS["step", "result"](calls, scene)
    await REVEALS["workflow", "context"](calls, scene)

    assert {action for action, _ in asked} == {Action.REVEAL_VALUE}
    job, step, workflow = (target for _, target in asked)
    assert (job.step, job.queue, job.workflow_name, job.workflow_tags) == ("done", "mail", "leaky", ("north",))
    assert (step.step, step.queue, step.worker) == ("done", "mail", "tests.support.by_hand.Scripted")
    assert (workflow.workflow_name, workflow.workflow_tags, workflow.step) == ("leaky", ("north",), None)


async def test_a_plain_job_is_revealed_too(hand: Hand) -> None:
    [inserted] = await hand.oban.enqueue_many([Job("tests.support.by_hand.Scripted", args=SECRET)])

    revealed = await hand.powertools.jobs.reveal(JobId(inserted.id or 0), what="args", **ADA)

    assert revealed.value == SECRET
