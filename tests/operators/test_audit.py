"""Every attempt of an operator is one record, written with what it did; no secret gets into it."""

import asyncio
import getpass
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_powertools import Action, Actor, Audit, AuditFilter, Powertools, Target, TargetType
from oban_powertools.errors import (
    AuditRecordNotFoundError,
    IllegalTransitionError,
    NotAuthorizedError,
    ReasonRequiredError,
    UnsupportedRecoveryActionError,
)
from oban_powertools.operators.audit import Entry, Outcome, write_entries
from oban_powertools.operators.authorization import ActorType, Guard, Surface
from oban_powertools.privacy.display import DisplayPolicy
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.command import powertools as command

ADA: Any = {"actor": {"id": "ada", "label": "Ada L.", "type": "agent", "request_id": "r-7"}, "reason": "it is late"}
CANARY = "hunter2canary"
EVERYTHING = """
SELECT coalesce(string_agg(t::text, ' '), '') FROM (
  SELECT to_jsonb(a) AS t FROM powertools.audit a
) AS rows
"""


def entry(**given: Any) -> Entry:
    fields: dict[str, Any] = {
        "actor": Actor(id="ada"),
        "action": Action.WORKFLOW_CANCEL,
        "target": Target.of_workflow(WorkflowId(41)),
        "outcome": Outcome.EXECUTED,
        **given,
    }
    return Entry(**fields)


async def write(hand: Hand, *entries: Entry) -> list[int]:
    return await write_entries(hand.session, DisplayPolicy(), entries)


async def test_a_record_says_who_what_why_through_which_door_and_what_changed(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    await hand.workflows.recover(workflow_id, "s0", "skip", source="web", **ADA)

    [kept] = await hand.powertools.audit.list()
    assert (kept.actor_id, kept.actor_label, kept.actor_type, kept.request_id) == ("ada", "Ada L.", "agent", "r-7")
    assert (kept.action, kept.target_type, kept.target_id) == ("step_skip", "step", f"{workflow_id}/s0")
    assert (kept.reason, kept.outcome, kept.surface) == ("it is late", "executed", "web")
    assert (kept.before["step"]["state"], kept.after["step"]["state"]) == ("available", "completed")
    assert (kept.before["workflow"]["open"], kept.after["workflow"]["open"]) == (2, 1)
    assert timedelta(0) <= datetime.now(UTC) - kept.at < timedelta(minutes=1)
    assert await hand.powertools.audit.get(kept.id) == kept


async def test_a_command_and_its_record_are_one_transaction(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    async with hand.conn.transaction(force_rollback=True):
        await hand.workflows.request_cancel(workflow_id, conn=hand.conn, **ADA)
        assert await hand.one("SELECT count(*) FROM powertools.audit") == 1

    assert await hand.powertools.audit.list() == []


async def test_what_cannot_be_recorded_is_not_done(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.rows("ALTER TABLE powertools.audit ADD CONSTRAINT refuse CHECK (actor_id <> 'ada')")

    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            await hand.workflows.request_cancel(workflow_id, **ADA)
    finally:
        await hand.rows("ALTER TABLE powertools.audit DROP CONSTRAINT refuse")

    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_an_illegal_attempt_is_recorded_with_what_was_legal(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(IllegalTransitionError):
        await hand.workflows.recover(workflow_id, "s0", **ADA)
    with pytest.raises(ReasonRequiredError):
        await hand.workflows.request_cancel(workflow_id, actor="ada", reason=" ")

    unexplained, illegal = await hand.powertools.audit.list()
    assert (illegal.outcome, illegal.details["code"]) == ("refused", "illegal_transition")
    assert illegal.details["legal_next_steps"] == ["cancel", "complete", "skip"]
    assert (unexplained.outcome, unexplained.details["code"]) == ("refused", "reason_required")
    assert [(r.before, r.after) for r in (illegal, unexplained)] == [(None, None)] * 2


async def test_an_action_that_nobody_knows_is_no_way_around_the_policy(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(UnsupportedRecoveryActionError):
        await hand.workflows.recover(workflow_id, "s0", "explode", **ADA)

    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_an_attempt_that_failed_is_recorded_as_failed(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(Exception, match="payload"):
        await hand.workflows.recover(workflow_id, "s0", "complete", payload=object(), **ADA)

    [kept] = await hand.powertools.audit.list()
    assert (kept.outcome, kept.details["error_type"]) == ("failed", "UnstorableValueError")


async def test_the_state_before_is_read_under_the_lock(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute("SELECT FROM powertools.workflows FOR UPDATE")
        hold = asyncio.create_task(hand.workflows.hold(workflow_id, hold_for=timedelta(hours=1), **ADA))
        await hand.until_waiting(1)
        await other.execute("UPDATE powertools.workflows SET generation = 7")
        await other.commit()
        await hold

    [kept] = await hand.powertools.audit.list()
    assert kept.before["workflow"]["generation"] == 7


async def test_records_come_in_pages_newest_first_and_by_every_filter(hand: Hand) -> None:
    await write(
        hand,
        entry(),
        entry(actor=Actor(id="kim")),
        entry(action=Action.JOB_RETRY, target=Target(type=TargetType.JOB, id="7")),
        entry(outcome=Outcome.REFUSED),
    )
    calls = hand.powertools.audit

    assert [r.id for r in await calls.list(limit=3)] == [4, 3, 2]
    assert [r.id for r in await calls.list(limit=3, before=2)] == [1]
    assert [r.id for r in await calls.list(actor="kim")] == [2]
    assert [r.id for r in await calls.list(action="job_retry")] == [3]
    assert [r.id for r in await calls.list(target_type="workflow", target_id="41")] == [4, 2, 1]
    assert [r.id for r in await calls.list(outcome="refused")] == [4]
    assert await calls.list(since=datetime.now(UTC) + timedelta(minutes=1)) == []
    with pytest.raises(AuditRecordNotFoundError):
        await calls.get(4711)


async def test_several_records_are_written_in_one_statement_and_in_their_order(hand: Hand) -> None:
    ids = await write(hand, *[entry(target=Target.of_workflow(WorkflowId(n))) for n in range(1, 1001)])

    assert ids == sorted(ids)
    targets = await hand.rows("SELECT target_id, xmin::text FROM powertools.audit ORDER BY id")
    assert [row["target_id"] for row in targets] == [str(n) for n in range(1, 1001)]
    assert len({row["xmin"] for row in targets}) == 1


async def test_what_powertools_does_by_itself_is_recorded_as_the_systems(hand: Hand) -> None:
    done = await hand.one(
        "SELECT powertools.record_system_v1('job_rescue', 'job', '{7,8}', 'its executor is gone', "
        """details => ARRAY['{"attempt": 1}', '{"attempt": 2}']::jsonb[])"""
    )

    newest, oldest = await hand.powertools.audit.list()
    assert (done, oldest.target_id, oldest.details, newest.details) == (2, "7", {"attempt": 1}, {"attempt": 2})
    assert (newest.actor_id, newest.actor_type, newest.surface) == ("powertools", "system", Surface.SYSTEM)
    assert (newest.outcome, newest.reason) == ("executed", "its executor is gone")


async def test_no_planted_secret_gets_into_the_audit_or_out_of_the_command(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    job = await hand.job(workflow_id, "s0")
    await hand.rows("UPDATE oban_jobs SET args = %s WHERE id = %s", json.dumps({"x": CANARY}), job.id)
    await hand.run(workflow_id, {"s0": ValueError(f"the word is {CANARY}")})
    reason = f"the customer's password={CANARY} was wrong"

    await hand.workflows.recover(workflow_id, actor={"id": "ada", "session": CANARY}, reason=reason)
    await hand.run(workflow_id, {"s0": {"x": CANARY}})
    with pytest.raises(IllegalTransitionError):
        await hand.workflows.recover(workflow_id, "s0", "complete", actor="ada", reason=reason, payload=CANARY)

    assert CANARY not in await hand.one(EVERYTHING)
    first = str(await hand.one("SELECT min(id) FROM powertools.audit"))
    printed = [command("audit", *call, dsn=hand.dsn).out for call in (["list"], ["show", first, "--json"], ["export"])]
    assert all(printed)
    assert CANARY not in "".join(printed)
    assert CANARY not in command("workflow", "commands", str(workflow_id), dsn=hand.dsn).out


async def test_a_hosts_own_display_policy_decides_what_is_kept(dsn: str) -> None:
    class Silent(DisplayPolicy):
        def show(self, kind: Any, value: Any) -> Any:
            raise NotImplementedError

    async with Powertools.open(dsn, authorize=lambda *_: True, display=Silent()) as powertools:
        handle = await powertools.workflows.insert(chain(1))
        await powertools.workflows.request_cancel(handle.id, **ADA)
        [kept] = await powertools.audit.list()

    assert (kept.reason, kept.before, kept.after) == ("[redacted]",) * 3


async def test_an_export_is_allowed_by_the_host_and_recorded(hand: Hand) -> None:
    await write(hand, entry(), entry(actor=Actor(id="kim")))

    lines = [
        json.loads(line) async for line in hand.powertools.audit.export(actor="ada", chosen=AuditFilter(actor="kim"))
    ]

    assert [(line["id"], line["actor_id"], len(line["row_hash"])) for line in lines] == [("2", "kim", 64)]
    [exported] = await hand.powertools.audit.list(action="audit_export")
    assert (exported.actor_id, exported.outcome, exported.details) == ("ada", "executed", {"actor": "kim"})


async def test_an_export_that_is_not_allowed_gives_no_line_and_is_recorded(hand: Hand) -> None:
    audit = Audit(hand.services(guard=Guard(None)))

    with pytest.raises(NotAuthorizedError):
        async for line in audit.export(actor="ada"):
            raise AssertionError(line)

    [refused] = await hand.powertools.audit.list()
    assert (refused.action, refused.outcome) == ("audit_export", "refused")


async def test_the_command_line_is_recorded_with_its_user_and_its_door(hand: Hand) -> None:
    workflow_id = str(await hand.insert(chain(1)))

    assert command("workflow", "release", workflow_id, "--reason", "it is late", dsn=hand.dsn).code == 0
    assert (
        command("workflow", "release", workflow_id, "--reason", "it is late", dsn=hand.dsn, POWERTOOLS_ACTOR="kim").code
        == 0
    )

    second, first = await hand.powertools.audit.list()
    assert first.actor_id.startswith(f"{getpass.getuser()}@")
    assert (first.surface, first.actor_type, second.actor_id) == ("cli", "user", "kim")


async def test_the_command_line_asks_the_hosts_policy_that_it_is_told(hand: Hand, tmp_path: Any) -> None:
    (tmp_path / "rules.py").write_text("def authorize(actor, action, target):\n    return actor.id == 'ada'\n")
    workflow_id = str(await hand.insert(chain(1, on_finished=step())))
    cancel = (
        "workflow",
        "cancel",
        workflow_id,
        "--yes",
        "--reason",
        "because of a test",
        "--authorize",
        "rules:authorize",
    )

    refused = command(*cancel, "--actor", "kim", dsn=hand.dsn, cwd=tmp_path)
    allowed = command(*cancel, "--actor", "ada", dsn=hand.dsn, cwd=tmp_path)

    assert (refused.code, allowed.code) == (4, 0)
    assert "'kim' may not workflow_cancel workflow" in refused.error
    for wrong in ("rules", "rules:nothing", "norules:authorize"):
        ended = command(*cancel[:-1], wrong, dsn=hand.dsn, cwd=tmp_path)
        assert ended.code == 2


async def test_the_command_line_pages_and_filters(hand: Hand) -> None:
    await write(hand, entry(), entry(actor=Actor(id="kim", label="Kim\x1b[31m")), entry(outcome=Outcome.REFUSED))

    page = command("audit", "list", "--limit", "2", "--json", dsn=hand.dsn).json
    rest = command("audit", "list", "--before", page["next_before"], "--json", dsn=hand.dsn).json
    table = command("audit", "list", "--actor-id", "kim", "--target", "workflow:41", dsn=hand.dsn).out

    assert [r["id"] for r in page["records"]] == ["3", "2"]
    assert ([r["id"] for r in rest["records"]], rest["next_before"]) == (["1"], None)
    assert "\x1b" not in table
    assert "workflow:41" in table
    assert command("audit", "list", "--target", "41", dsn=hand.dsn).code == 2
    assert command("audit", "list", "--since", "yesterday", dsn=hand.dsn).code == 2
    assert command("audit", "list", "--since", "2999-01-01", dsn=hand.dsn).err == "no record\n"
    assert command("audit", "show", "4711", dsn=hand.dsn).code == 3


async def test_records_are_found_by_type_of_actor_door_and_time(hand: Hand) -> None:
    bot = Actor(id="bot", type=ActorType.AGENT)
    await write(hand, entry(), entry(actor=bot), entry(surface=Surface.CLI))
    listed = hand.powertools.audit.list
    [of_bot] = await listed(actor_type="agent")

    found = {
        "actor_type": [record.id for record in await listed(actor_type="user")],
        "surface": [record.id for record in await listed(surface="cli")],
        "until": [record.id for record in await listed(until=of_bot.at - timedelta(hours=1))],
        "since": [record.id for record in await listed(since=of_bot.at - timedelta(hours=1))],
    }

    assert of_bot.id == 2
    assert found == {"actor_type": [3, 1], "surface": [3], "until": [], "since": [3, 2, 1]}
    by_command = command("audit", "list", "--actor-type", "agent", "--surface", "api", "--json", dsn=hand.dsn).json
    assert [record["id"] for record in by_command["records"]] == ["2"]
