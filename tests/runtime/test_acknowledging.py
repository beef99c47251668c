"""No outcome stops a queue: it fails alone, with the reason, whatever refuses it (invariant/I6)."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from oban import Oban, Record, Snooze
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Powertools, Workflow
from oban_powertools.runtime import acknowledging
from tests.database.test_sqlstates import CODES, CONTENDED
from tests.support.by_hand import Hand, everybody_may, step
from tests.support.ledger import eventually

CLASSES = sorted(
    {code[:2]: code for code, _ in CODES if code not in CONTENDED and code[:2] not in ("00", "01", "02", "40")}.values()
)
"""One SQLSTATE of each class that is an error, but for those of other sessions."""

MORE = [
    "22P05",
    "42883",
    "42501",
    "53100",
    "53200",
    "53400",
    "54000",
    "54001",
    "57014",
    "58030",
    "P0001",
    "XX000",
    "40002",
]


def three(**options: Any) -> Workflow:
    """Steps beside each other; ``bad`` has two attempts unless told otherwise."""
    workflow = Workflow("three")
    workflow.add_many({"a": step(), "bad": step(**{"max_attempts": 2, **options}), "z": step()})
    return workflow


@asynccontextmanager
async def raising(hand: Hand, code: str, condition: str) -> AsyncIterator[None]:
    """A host's own trigger raises on these jobs."""
    await hand.rows(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION 'broken on purpose' USING ERRCODE = '{code}'; END $$; "
        f"CREATE TRIGGER refuse BEFORE UPDATE ON oban_jobs FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        await hand.rows("DROP FUNCTION IF EXISTS refuse CASCADE")


@pytest.fixture
def impatient(each_hand: Hand) -> Hand:
    """Sends a batch again for a short time only."""
    each_hand.powertools._attachment.acknowledge.again_for = 0.05
    return each_hand


@pytest.mark.parametrize("code", [*CLASSES, *MORE])
async def test_whatever_class_of_error_an_outcome_meets_it_fails_alone_with_the_reason(
    impatient: Hand, code: str
) -> None:
    workflow_id = await impatient.insert(three())

    async with raising(impatient, code, "NEW.state = 'completed' AND NEW.meta ->> 'step' = 'bad'"):
        acked = await impatient.run(workflow_id, {"a": 1, "bad": 2, "z": 3})

    steps = await impatient.steps(workflow_id)
    assert len(acked) == 3
    assert [s.state for s in steps.values()] == ["completed", "retryable", "completed"]
    assert "the outcome 'completed' cannot be stored: broken on purpose" in steps["bad"].error["error"]
    assert await impatient.workflows.results(workflow_id) == {"a": 1, "z": 3}


@pytest.mark.parametrize("code", ["57014", "53100", "40001", "55P03"])
async def test_an_outcome_that_meets_a_shortage_or_others_each_time_holds_up_nobody(each_hand: Hand, code: str) -> None:
    workflow_id = await each_hand.insert(three())

    async with raising(each_hand, code, "NEW.state = 'completed' AND NEW.meta ->> 'step' = 'bad'"):
        began_at = time.monotonic()
        await each_hand.run(workflow_id, {"a": 1, "bad": 2, "z": 3})
        took, meanwhile = time.monotonic() - began_at, await each_hand.states(workflow_id)

    async def completed() -> bool:
        return (await each_hand.states(workflow_id))["bad"] == "completed"

    await eventually(completed)
    assert took < 5
    assert meanwhile == {"a": "completed", "bad": "executing", "z": "completed"}


@pytest.mark.parametrize("code", ["40001", "40P01", *CONTENDED])
async def test_an_outcome_that_only_meets_other_sessions_is_stored_as_it_is_later(impatient: Hand, code: str) -> None:
    workflow_id = await impatient.insert(three())

    async with raising(impatient, code, "OLD.state = 'executing' AND NEW.meta ->> 'step' = 'bad'"):
        await impatient.run(workflow_id, {"a": 1, "bad": 2, "z": 3})
        meanwhile = await impatient.states(workflow_id)

    async def completed() -> bool:
        return (await impatient.states(workflow_id))["bad"] == "completed"

    await eventually(completed)
    assert meanwhile == {"a": "completed", "bad": "executing", "z": "completed"}
    assert await impatient.workflows.results(workflow_id) == {"a": 1, "bad": 2, "z": 3}


@pytest.mark.parametrize("code", ["P0001", "42501", "53100", "XX000"])
async def test_an_outcome_that_is_refused_in_any_form_stays_in_hand_and_is_stored_once_it_can_be(
    impatient: Hand, code: str
) -> None:
    workflow_id = await impatient.insert(three())
    attachment = impatient.powertools._attachment

    async with raising(impatient, code, "OLD.state = 'executing' AND NEW.meta ->> 'step' = 'bad'"):
        acked = await impatient.run(workflow_id, {"a": 1, "bad": 2, "z": 3})
        aside = {job_id for job_id, _ in attachment.acknowledge.attempts_aside()}
        bad = (await impatient.job(workflow_id, "bad")).id

    async def completed() -> bool:
        return (await impatient.states(workflow_id))["bad"] == "completed"

    await eventually(completed)
    assert (len(acked), aside) == (2, {bad})
    assert attachment.acknowledge.attempts_aside() == frozenset()
    assert await impatient.workflows.results(workflow_id) == {"a": 1, "bad": 2, "z": 3}


async def test_what_was_set_aside_and_was_rescued_meanwhile_is_a_late_result(impatient: Hand) -> None:
    workflow_id = await impatient.insert(three())
    async with raising(
        impatient, "XX000", "NEW.state <> 'cancelled' AND OLD.state = 'executing' AND NEW.meta ->> 'step' = 'bad'"
    ):
        await impatient.run(workflow_id, {"a": 1, "bad": 2, "z": 3})
        await impatient.rows("UPDATE oban_jobs SET state = 'cancelled' WHERE state = 'executing'")

    async def kept() -> bool:
        return await impatient.one("SELECT count(*) FROM powertools.late_results WHERE state = 'completed'") == 1

    await eventually(kept)
    assert impatient.powertools._attachment.acknowledge.attempts_aside() == frozenset()


def circular() -> dict[str, Any]:
    """A dict in itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "outcome",
    [
        Snooze(5, meta=circular()),
        Snooze(5, meta={"x": math.nan}),
        Snooze(5, meta={"\ud800": 1}),
        Snooze(5, meta={"x": object()}),
        Snooze(5, meta={"x": 10**400}),
        Snooze(2**40),
        Snooze(5, meta={"x": "\0"}),
        Record(1),
    ],
    ids=lambda outcome: repr(outcome)[:30],
)
async def test_an_outcome_that_the_client_cannot_write_fails_alone(impatient: Hand, outcome: Any) -> None:
    workflow_id = await impatient.insert(three())

    acked = await impatient.run(workflow_id, {"a": 1, "bad": outcome, "z": 3})

    states = await impatient.states(workflow_id)
    assert len(acked) == 3
    assert (states["a"], states["z"]) == ("completed", "completed")
    assert states["bad"] == ("completed" if isinstance(outcome, Record) else "retryable")


SPOILS: dict[str, Any] = {
    "queue": None,
    "attempt": "x",
    "max_attempts": None,
    "extra": None,
    "worker": 5,
    "args": object(),
    "tags": None,
}


@pytest.mark.parametrize("field", SPOILS)
async def test_whatever_a_worker_does_to_its_job_the_ack_goes_through(impatient: Hand, field: str) -> None:
    workflow_id = await impatient.insert(three())
    jobs = await impatient.start(*[(await impatient.job(workflow_id, name)).id for name in ("a", "bad", "z")])
    acks = [await impatient.execute(job, 1) for job in jobs]

    setattr(jobs[1], field, SPOILS[field])
    acked = await impatient.ack(*acks)

    assert len(acked) == 3
    assert (await impatient.workflow(workflow_id)).state == "completed"


@pytest.mark.parametrize("field", ["id", "attempted_at"])
async def test_an_ack_whose_fence_a_worker_has_spoiled_holds_up_no_other(impatient: Hand, field: str) -> None:
    workflow_id = await impatient.insert(three())
    jobs = await impatient.start(*[(await impatient.job(workflow_id, name)).id for name in ("a", "bad", "z")])
    acks = [await impatient.execute(job, 1) for job in jobs]

    setattr(jobs[1], field, {"id": 2**70, "attempted_at": "then"}[field])
    acked = await impatient.ack(*acks)

    assert len(acked) == 2


@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
async def test_a_session_that_speaks_another_encoding_stores_everything_all_the_same(dsn: str, turbo: bool) -> None:
    outcomes = {"text": {"日本": "☃ 😀"}, "plain": 1, "error": ValueError("日本")}
    async with (
        AsyncConnectionPool(dsn, kwargs={"client_encoding": "LATIN1"}, min_size=1, open=False) as pool,
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn,
    ):
        powertools = Powertools(Oban(pool=pool), authorize=everybody_may, turbo=turbo)
        hand = Hand(dsn, powertools, conn)
        workflow = Workflow("encodings")
        workflow.add_many({name: step() for name in outcomes})
        workflow_id = await hand.insert(workflow)

        acked = await hand.run(workflow_id, outcomes)

        await powertools.close()
        rows = await hand.rows(
            "SELECT name, state, result, error ->> 'text' AS text FROM powertools.steps ORDER BY position"
        )
    assert len(acked) == 3
    assert [row["state"] for row in rows] == ["completed", "completed", "discarded"]
    assert rows[0]["result"] == {"日本": "☃ 😀"}
    assert rows[2]["text"] == "日本"


@pytest.mark.parametrize(("most", "statements"), [(10**9, 1), (2500, 2), (1, 5)])
async def test_results_that_are_too_much_together_are_acknowledged_in_several_statements(
    each_hand: Hand, monkeypatch: pytest.MonkeyPatch, most: int, statements: int
) -> None:
    monkeypatch.setattr(acknowledging, "MOST_BYTES", most)
    workflow = Workflow("beside")
    workflow.add_many({f"s{n}": step() for n in range(5)})
    workflow_id = await each_hand.insert(workflow)
    store = each_hand.powertools._attachment.acknowledge._store
    stored: list[int] = []

    async def counted(outcomes: Any) -> list[int]:
        stored.append(len(outcomes))
        return await store(outcomes)

    monkeypatch.setattr(each_hand.powertools._attachment.acknowledge, "_store", counted)

    acked = await each_hand.run(workflow_id, {f"s{n}": "x" * 780 for n in range(5)})

    assert (len(acked), len(stored)) == (5, statements)
    assert {s.state.value for s in await each_hand.workflows.steps(workflow_id)} == {"completed"}
    assert await each_hand.workflows.results(workflow_id) == {f"s{n}": "x" * 780 for n in range(5)}
