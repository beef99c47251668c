"""Every Oban internal that we use, as we use it. A failure here means: Oban changed; read what the message names.

The supported range is oban>=0.7,<0.8 (pyproject.toml). Nothing here tests Oban: it tests our picture of it.
"""

import ast
import dataclasses
import hashlib
import inspect
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from oban import Cancel, Job, Oban, Record, Snooze, telemetry
from oban._backoff import jittery_clamped
from oban._config import Config
from oban._executor import AckAction, Executor
from oban._extensions import _extensions, get_ext, put_ext, use_ext
from oban._lifeline import Lifeline, _rescue
from oban._notifier import PostgresNotifier
from oban._producer import LocalDispatcher, Producer, _get_jobs
from oban._query import Query, _ack_jobs, _insert_jobs, unwrap_connection
from oban.worker import WorkerResolutionError, resolve_worker

from oban_powertools.database import oban as reading
from oban_powertools.runtime import oban_acks, oban_attachment, oban_attempts, oban_child, oban_draining, oban_hooks
from oban_powertools.runtime.results import Encoded, StepResult, wrap_result
from oban_powertools.telemetry import Name, anybody_listens
from tests.support.by_hand import Hand, chain, step

USED = {
    "oban._backoff.jittery_clamped",
    "oban._config.Config",
    "oban._executor.AckAction",
    "oban._executor.Executor",
    "oban._executor._current_job",
    "oban._extensions._extensions",
    "oban._lifeline._rescue",
    "oban._producer.LocalDispatcher",
    "oban._producer.Producer",
    "oban._producer._get_jobs",
    "oban._query.Query",
    "oban._query._ack_jobs",
    "oban._query._insert_jobs",
    "oban._query.unwrap_connection",
    "._query",
    "._prefix",
    "._producers",
    "._running_jobs",
    "._cancellation",
    "._pool",
    "._limit",
    "._get_mode",
    "._signal_token",
    "._name",
    "._node",
    "._queue",
    "._uuid",
    "._loop_task",
    "._stopping",
    "._init_lock",
    "._pending_acks",
    "._dispatcher",
}
"""What these files import of Oban and which private attributes they read; each is looked at below."""

OVERRIDDEN = {
    "_report_started",
    "_process",
    "_perform",
    "_timeout",
    "_record_stopped",
    "_report_stopped",
    "_retry_backoff",
    "_format_error",
}
"""The methods of Oban's executor that oban_attempts.py stands around."""

TEXTS = {
    "ack_job": ("30ec940c", "powertools.ack_jobs_v1 repeats it for a batch"),
    "cancel_many_jobs": ("3666f5dc", "the triggers see its UPDATE; executing jobs are only signalled"),
    "delete_many_jobs": ("72e5b085", "the triggers see its DELETE; executing jobs are kept"),
    "fetch_jobs": ("ad8803d7", "attempted_by and attempted_at tie a job to its executor and attempt"),
    "insert_job": ("6c04b701", "powertools.insert_jobs_v1 repeats it for many jobs"),
    "prune_jobs": ("a8f3aac5", "it deletes finished jobs only, which the DELETE trigger passes over"),
    "rescue_jobs": ("6c878352", "it discards spent jobs by UPDATE, which settles their steps"),
    "retry_many_jobs": ("b2467c48", "it revives ended jobs, which must not move the graph"),
    "stage_jobs": ("1f095b6f", "it makes due jobs available by UPDATE"),
}
"""Oban's query -> digest of its text, and what of ours rests on it."""


def test_this_file_names_every_internal_that_the_hooks_use() -> None:
    nodes = [
        node
        for module in (reading, oban_hooks, oban_attachment, oban_acks, oban_attempts, oban_child, oban_draining)
        for node in ast.walk(ast.parse(Path(inspect.getfile(module)).read_text()))
    ]
    imported = {
        f"{node.module}.{name.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and re.match(r"oban\._", node.module)
        for name in node.names
    }
    private = {
        f".{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        and not (isinstance(node.value, ast.Call) and ast.unparse(node.value) == "super()")
    }

    assert imported | private == USED, "we use other internals of Oban than this file pins"


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_of_a_query_we_rest_on_is_the_one_we_read(name: str) -> None:
    digest, rests_on_it = TEXTS[name]
    text = files("oban.queries").joinpath(f"{name}.sql").read_text("utf-8")

    found = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8]

    assert found == digest, f"Oban's {name}.sql changed ({digest} -> {found}): {rests_on_it}; compare, then pin it anew"


def test_the_ack_is_fenced_by_state_and_attempt() -> None:
    """Without the fence a rescued attempt could be acknowledged by its zombie (not so before 0.7)."""
    text = " ".join(files("oban.queries").joinpath("ack_job.sql").read_text("utf-8").split())

    assert text.endswith("WHERE id = %(id)s AND state = 'executing' AND attempted_at = %(attempted_at)s RETURNING id;")


def test_an_ack_has_the_fields_that_the_bulk_ack_stores() -> None:
    fields = [field.name for field in dataclasses.fields(AckAction)]

    assert fields == ["job", "state", "attempt_change", "error", "meta", "schedule_in"]
    assert {"id", "attempted_at"} <= set(dir(AckAction))


def test_the_registry_of_extensions_is_a_dict_that_is_asked_at_every_call() -> None:
    slot = "powertools.contract"
    assert get_ext(slot, len) is len

    put_ext(slot, lambda text: f"extended {text}")
    try:
        assert _extensions[slot] is get_ext(slot, len)
        assert use_ext(slot, len, "x") == "extended x"
    finally:
        _extensions.pop(slot)
    assert use_ext(slot, len, "x") == 1


@pytest.mark.parametrize(
    ("slot", "where", "call"),
    [
        ("executor.wrap_result", Executor._record_stopped, "lambda _job, res: res, self.job, self.result"),
        ("query.ack_jobs", Query.ack_jobs, "_ack_jobs, self, acks"),
        ("query.insert_jobs", Query.insert_jobs, "_insert_jobs, self, jobs, conn"),
        ("producer.get_jobs", Producer._get_jobs, "_get_jobs, self"),
        ("lifeline.rescue", Lifeline._rescue, "_rescue, self._query, self._rescue_after"),
    ],
)
def test_each_slot_is_asked_with_the_default_and_arguments_we_know(slot: str, where: Any, call: str) -> None:
    source = re.sub(r"\s", "", inspect.getsource(where))

    assert slot in oban_hooks.SLOTS
    assert re.sub(r"\s", "", f'use_ext("{slot}", {call})') in source


def test_the_default_functions_take_what_we_give_them() -> None:
    assert list(inspect.signature(_ack_jobs).parameters) == ["query", "acks"]
    assert list(inspect.signature(_insert_jobs).parameters) == ["query", "jobs", "conn"]
    assert list(inspect.signature(_get_jobs).parameters) == ["producer"]
    assert list(inspect.signature(_rescue).parameters) == ["query", "rescue_after"]
    assert list(inspect.signature(unwrap_connection).parameters) == ["conn"]
    assert list(inspect.signature(jittery_clamped).parameters)[:2] == ["attempt", "max_attempts"]
    assert jittery_clamped(1, 20) >= 15
    assert Config(dsn="ours").merge(Config.from_env()).merge(Config(prefix="x")) == Config(
        dsn=os.environ.get("OBAN_DSN", "ours"), prefix="x"
    )
    # what oban.toml has beyond these names stops oban's own command: our table is taken out before
    assert "powertools" not in {f.name for f in dataclasses.fields(Config)}
    assert {"dsn", "prefix", "pool_min_size", "pool_max_size"} <= {f.name for f in dataclasses.fields(Config)}


def test_telemetry_keeps_its_handlers_by_the_name_of_the_event() -> None:
    telemetry.attach("contract", [Name.FINISHED], lambda *_: None)
    try:
        assert anybody_listens([Name.ACK, Name.FINISHED])
    finally:
        telemetry.detach("contract")
    assert not anybody_listens([Name.ACK, Name.FINISHED])


async def test_an_instance_has_the_attributes_that_we_read(hand: Hand) -> None:
    oban = Oban(pool=hand.oban._query._pool, name="contract", queues={"default": 3})

    assert isinstance(oban._query, Query)
    assert (oban._prefix, oban._query._prefix, oban._signal_token) == ("public", "public", None)
    producer = oban._producers["default"]
    assert isinstance(producer, Producer)
    assert (producer._running_jobs, producer._pending_acks, producer._loop_task) == ({}, [], None)
    assert (producer._node, producer._queue, producer._query) == (oban._node, "default", oban._query)
    assert (producer._started_at, producer._uuid.count("-")) == (None, 4)
    assert (producer._stopping.is_set(), producer._init_lock.locked()) == (False, False)
    producer.notify()
    assert producer._notified.is_set()
    assert Job("w")._cancellation is None


def test_a_running_job_is_kept_with_its_task_and_told_to_stop_by_an_event() -> None:
    assert "self._running_jobs[job.id] = (job, task)" in inspect.getsource(Producer._produce)
    assert "job._cancellation = asyncio.Event()" in inspect.getsource(Producer._execute)


def test_a_producer_acknowledges_before_it_fetches_and_keeps_what_was_not_acknowledged() -> None:
    """notify_queues leaves out a queue whose producer fetches next; wake_producers_later asks it again."""
    source = inspect.getsource(Producer._produce)
    acknowledge = inspect.getsource(Producer._ack_jobs)

    assert source.index("self._ack_jobs()") < source.index("self._get_jobs()")
    assert acknowledge.index("self._query.ack_jobs") < acknowledge.index(
        "self._pending_acks = self._pending_acks[count:]"
    )


def test_a_producer_knows_what_it_fetched_before_anything_else_can_look() -> None:
    """Between the end of a fetch and the dispatch of its jobs nothing is awaited: what is not in hand is lost."""
    source = inspect.getsource(Producer._produce)
    fetched = source.partition("await self._get_jobs()")[2]

    assert fetched and "await" not in fetched
    assert inspect.getsource(Producer._get_jobs).count("await") == 1
    assert "self._pending_acks.append(executor.action)" in inspect.getsource(Producer._execute)


def test_a_producer_stops_for_good_under_its_lock() -> None:
    """A producer whose stopping is set and whose lock is free has ended; it is never started again."""
    source = inspect.getsource(Producer.stop)

    assert source.index("async with self._init_lock") < source.index("stop_gracefully(self._loop_task, self._stopping)")
    assert source.index("self._drain_running()") < source.index("self._ack_jobs()") < source.index("delete_producer")
    assert "_stopping.clear()" not in inspect.getsource(Producer)


def test_an_attempt_is_run_by_a_dispatcher_that_can_be_replaced() -> None:
    """GuardedDispatcher repeats Producer._execute with an executor of its own."""
    body = inspect.getsource(Producer._execute).partition("-> None:")[2].split()
    dispatch = inspect.getsource(LocalDispatcher.dispatch)

    assert "task = self._dispatcher.dispatch(self, job)" in inspect.getsource(Producer._produce)
    assert "asyncio.create_task(producer._execute(job))" in dispatch
    assert " ".join(body) == (
        "job._cancellation = asyncio.Event() executor = await Executor(job=job, safe=True).execute() "
        "self._pending_acks.append(executor.action)"
    )


def test_the_executor_calls_what_the_guard_stands_around() -> None:
    """Each in the place where we know it, and with what it leaves behind: the worker, the result, the traceback."""
    source = inspect.getsource(Executor)
    own = {name for name in vars(oban_attempts.GuardedExecutor) if name in vars(Executor)} - {"__init__", "__module__"}

    assert {name for name in own if not name.startswith("__")} == OVERRIDDEN
    for call in ("self._report_started()", "await self._process()", "self._record_stopped()", "self._report_stopped()"):
        assert source.count(call) == 1
    assert "self.worker = resolve_worker(self.job.worker)()" in inspect.getsource(Executor._process)
    assert "self.result = await self._perform(self.worker)" in inspect.getsource(Executor._process)
    assert "self._traceback = traceback.format_exc()" in inspect.getsource(Executor._process)
    assert "seconds = self._timeout()" in inspect.getsource(Executor._perform)
    assert "schedule_in=self._retry_backoff()" in inspect.getsource(Executor._record_stopped)
    assert inspect.getsource(Executor._record_stopped).count("self._format_error(") == 3


def test_a_worker_that_cannot_be_found_raises_an_error_of_its_own() -> None:
    with pytest.raises(WorkerResolutionError):
        resolve_worker("tests.no_such_module.Worker")


async def acks_of(outcome: Any, **options: Any) -> AckAction:
    meta = {"workflow_id": 1, "position": 0, "uid": "u", "step": "s", "workflow_name": "w"}
    job = Job(
        "tests.support.by_hand.Scripted",
        id=1,
        attempt=1,
        max_attempts=2,
        meta=meta,
        extra={"outcome": outcome},
        **options,
    )
    return (await Executor(job).execute()).action  # pyright: ignore[reportReturnType]


async def test_a_result_travels_as_a_recording_in_the_acks_meta(hand: Hand) -> None:
    """The executor matches Record(encoded=...) and writes meta recorded and return, where settle looks."""
    ack = await acks_of({"x": 1})

    assert isinstance(wrap_result(ack.job, {"x": 1}, 100), StepResult)
    assert (ack.state, ack.meta) == ("completed", {"recorded": True, "return": {"json": {"x": 1}}})
    assert isinstance((ack.meta or {})["return"], Encoded)


async def test_the_executor_turns_outcomes_into_the_acks_that_we_know(hand: Hand) -> None:
    failed, cancelled, snoozed = [await acks_of(o) for o in (ValueError("x"), Cancel("y"), Snooze(9, meta={"m": 1}))]

    assert (failed.state, failed.schedule_in, (failed.error or {}).keys()) == (
        "retryable",
        60,
        {"attempt", "at", "error"},
    )
    assert (cancelled.state, (cancelled.error or {})["error"]) == ("cancelled", "y")
    assert (snoozed.state, snoozed.attempt_change, snoozed.schedule_in) == ("scheduled", -1, 9)
    assert snoozed.meta == {"snoozed": 1, "m": 1}


async def test_an_error_that_is_returned_rather_than_raised_is_written_down_by_its_repr(hand: Hand) -> None:
    """Why PowertoolsError has a readable repr."""
    ack = await acks_of({"x": {1}})

    assert (ack.error or {})["error"].startswith("UnstorableValueError('the return value cannot be stored")


def test_a_recording_has_the_fields_that_ours_replaces() -> None:
    assert [field.name for field in dataclasses.fields(Record)] == ["value", "limit", "encoded"]


async def test_the_fetch_marks_attempt_instant_and_executor(hand: Hand) -> None:
    await hand.insert(chain(1))

    [job] = await hand.oban._query.fetch_jobs(demand=1, queue="default", node="node", uuid="uuid")

    assert (job.state, job.attempt, job.attempted_by) == ("executing", 1, ["node", "uuid"])
    assert job.attempted_at is not None and job.attempted_at.tzinfo is not None
    assert job.meta["position"] == 0


async def test_the_jobs_table_has_the_columns_that_we_write(hand: Hand) -> None:
    columns = await hand.rows(
        "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = 'oban_jobs'::regclass AND attnum > 0 AND NOT attisdropped"
    )

    assert {column["name"]: column["type"] for column in columns} == {
        "id": "bigint",
        "state": "oban_job_state",
        "queue": "text",
        "worker": "text",
        "attempt": "smallint",
        "max_attempts": "smallint",
        "priority": "smallint",
        "args": "jsonb",
        "meta": "jsonb",
        "tags": "text[]",
        "errors": "jsonb",
        "attempted_by": "text[]",
        "inserted_at": "timestamp without time zone",
        "scheduled_at": "timestamp without time zone",
        "attempted_at": "timestamp without time zone",
        "cancelled_at": "timestamp without time zone",
        "completed_at": "timestamp without time zone",
        "discarded_at": "timestamp without time zone",
    }
    assert await hand.one("SELECT pg_get_serial_sequence('oban_jobs', 'id')") == "public.oban_jobs_id_seq"


async def test_the_states_are_those_that_we_name(hand: Hand) -> None:
    states = await hand.one("SELECT array_agg(enumlabel::text ORDER BY enumlabel) FROM pg_enum")

    assert states == sorted(
        ["available", "scheduled", "suspended", "executing", "retryable", "completed", "discarded", "cancelled"]
    )


async def test_a_producer_is_woken_through_the_channel_named_by_prefix(hand: Hand) -> None:
    notifier = PostgresNotifier(query=hand.oban._query, prefix="jobs")

    assert notifier._to_full_channel("insert") == "jobs.oban_insert"
    assert "pg_notify('public.oban_insert', '{\"queue\":\"' || queue || '\"}')" in Query._load_file("insert_job.sql")


async def test_a_callers_connection_is_unwrapped_as_we_pass_it_on(hand: Hand) -> None:
    assert await unwrap_connection(hand.conn) is hand.conn
    async with hand.conn.cursor() as cursor:
        assert await unwrap_connection(cursor) is cursor
    with pytest.raises(TypeError):
        await unwrap_connection("nothing")


async def test_obans_own_ack_and_insert_do_what_ours_replace(hand: Hand) -> None:
    await hand.powertools.close()
    [job] = await _insert_jobs(hand.oban._query, [step()])
    [started] = await hand.start(job.id)

    assert await _ack_jobs(hand.oban._query, [AckAction(started, "completed")]) == [job.id]
