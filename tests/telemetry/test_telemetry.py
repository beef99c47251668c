"""Telemetry tells what its closed lists allow, and nothing else."""

import ast
from collections import Counter
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

import oban_powertools
from oban_powertools import Powertools, Settings, StepChange, Workflow, telemetry
from oban_powertools.telemetry import EVENTS, WORDS, Name
from tests.support.by_hand import everybody_may
from tests.support.ledger import eventually
from tests.support.recorder import recorded
from tests.support.telemetry_plays import chain, everything, run, succeed

END = b"UPDATE oban_jobs SET state = 'completed', completed_at = now() WHERE meta ->> 'workflow_id' = %s"
SOURCE = Path(oban_powertools.__file__).parent


async def test_every_event_has_the_fields_and_words_of_the_closed_list_and_no_others(powertools: Powertools) -> None:
    with recorded() as recorder:
        await everything(powertools)
        _fail_a_span_of_every_kind()

    assert recorder.names() == set(EVENTS)
    for name, fields in recorder.told:
        assert fields.keys() <= EVENTS[name], name
        for field, value in fields.items():
            if field in WORDS:
                assert value in WORDS[field], (name, field)
            elif field != "error_type":
                assert type(value) in (int, float), (name, field)


async def test_nothing_that_is_told_names_a_workflow_a_worker_or_an_error(powertools: Powertools) -> None:
    with recorded() as recorder:
        await everything(powertools)

    text = str([value for _, fields in recorder.told for value in fields.values() if isinstance(value, str)])
    assert [word for word in ("4711", "order-1", "ann", "paid", "chain", "plays", "everything") if word in text] == []


async def test_an_insert_tells_how_much_it_inserted(powertools: Powertools) -> None:
    with recorded() as recorder:
        await powertools.workflows.insert_many([chain(2), chain(3)])

    [told] = recorder.of(f"{Name.INSERT}.stop")
    assert (told["workflows"], told["steps"], told["inserted"]) == (2, 5, 2)
    assert told["duration"] > 0


async def test_an_insert_that_finds_its_key_tells_that_it_inserted_nothing(powertools: Powertools) -> None:
    def keyed() -> Workflow:
        workflow = Workflow("once", idempotency_key="once")
        workflow.add("only", succeed())
        return workflow

    await powertools.workflows.insert(keyed())

    with recorded() as recorder:
        await powertools.workflows.insert(keyed())

    [told] = recorder.of(f"{Name.INSERT}.stop")
    assert told["inserted"] == 0


async def test_a_command_tells_what_was_asked_and_whether_it_was_done(powertools: Powertools) -> None:
    with recorded() as recorder:
        await everything(powertools)

    assert recorder.of(Name.COMMAND) == [
        {"action": "workflow_cancel", "outcome": "accepted"},
        {"action": "unknown", "outcome": "rejected"},
        {"action": "step_retry", "outcome": "rejected"},
    ]
    assert recorder.of(Name.SIGNAL) == [{"status": "consumed"}]


@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
async def test_an_ack_tells_how_many_jobs_it_was_for(dsn: str, turbo: bool) -> None:
    async with Powertools.open(dsn, queues={"default": 10}, authorize=everybody_may, turbo=turbo) as powertools:
        with recorded() as recorder:
            await run(powertools, chain(3))

    assert sum(told["acknowledged"] for told in recorder.of(f"{Name.ACK}.stop")) == 3


async def test_ends_and_changes_are_told_by_whoever_counts_them(powertools: Powertools) -> None:
    with recorded() as recorder:
        await everything(powertools)

    ended = {told["outcome"]: told["count"] for told in recorder.of(Name.FINISHED)}
    assert sum(told["count"] for told in recorder.of(Name.FINISHED)) == 4
    assert ended.keys() == {"completed", "failed", "cancelled"}
    completed = [told["count"] for told in recorder.of(Name.STEP_CHANGED) if told["change"] == "completed"]
    assert sum(completed) == 4


async def test_a_failed_insert_tells_the_class_of_its_error_and_not_its_text(powertools: Powertools) -> None:
    def broken() -> dict[str, str]:
        raise LookupError("secret")

    powertools.workflows.job_meta = broken

    with recorded() as recorder, pytest.raises(LookupError):
        await powertools.workflows.insert(chain(1))

    [told] = recorder.of(f"{Name.INSERT}.exception")
    assert told["error_type"] == "LookupError"
    assert "secret" not in str(told)


def test_the_changes_are_those_of_the_event_log() -> None:
    assert WORDS["change"] == {change.value for change in StepChange}


def test_no_source_emits_but_through_the_closed_list() -> None:
    emitting = [
        (path.name, ast.unparse(call))
        for path in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("telemetry.span", "telemetry.execute")
        and path.name != "emitting.py"
    ]

    assert len(emitting) >= len(Name)
    assert [found for found in emitting if "Name." not in found[1]] == []


def _fail_a_span_of_every_kind() -> None:
    for event in EVENTS:
        name, _, end = event.rpartition(".")
        if end == "exception":
            with pytest.raises(RuntimeError), telemetry.span(Name(name)):
                raise RuntimeError


async def test_the_sweep_tells_of_every_end_while_somebody_listens(dsn: str) -> None:
    """Whoever ended them: nothing here runs a job, and what ends the workflows is not this process."""
    settings = Settings(sweep_every=timedelta(milliseconds=50))
    with recorded() as recorder:

        async def swept() -> bool:
            return len(recorder.of(f"{Name.SWEEP}.stop")) > 1

        async def ended() -> bool:
            return sum(fields["count"] for fields in recorder.of(Name.FINISHED)) >= 3

        async with Powertools.open(dsn, authorize=everybody_may, settings=settings) as powertools:
            await eventually(swept)
            ids = [(await powertools.workflows.insert(chain(1))).id for _ in range(2)]
            short = chain(1)
            short.expires_in = timedelta(milliseconds=1)
            expiring = await powertools.workflows.insert(short)
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
                await conn.execute(END, [str(ids[0])])
            await powertools.workflows.request_cancel(ids[1], actor="ada", reason="because of a test")
            await powertools.workflows.wait(expiring.id)

            await eventually(ended)

    told = Counter[str]()
    for fields in recorder.of(Name.FINISHED):
        told[fields["outcome"]] += fields["count"]
    assert told == {"completed": 1, "cancelled": 1, "expired": 1}
