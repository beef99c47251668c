"""``powertools events tail``: every event on a line, in order, whatever happens to the database or the reader."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from oban_powertools import Workflow, WorkflowFinished, WorkflowId
from tests.cli.test_cli_reference import promised
from tests.support.by_hand import Hand, chain, step
from tests.support.command import POWERTOOLS, WITHIN, Ended, environment, powertools
from tests.support.troubles import TROUBLES, project

END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'powertools'
"""
FORGED = "a\nb\x1b[31m\r\u2028c"


class Tail:
    """A running ``powertools events tail``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.out, self.err = process.stdout, process.stderr

    def lines(self, count: int) -> list[str]:
        return [self.out.readline().rstrip("\n") for _ in range(count)]

    def documents(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines(count)]

    def interrupt(self) -> Ended:
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def close(self) -> None:
        self.out.close()
        self.err.close()

    def end(self) -> Ended:
        out, err = self._process.communicate(timeout=WITHIN)
        return Ended(self._process.returncode, out, err)


@contextmanager
def tail(*arguments: str, dsn: str) -> Iterator[Tail]:
    """It follows the events when the context is entered."""
    process = subprocess.Popen(
        [POWERTOOLS, "events", "tail", *arguments],
        cwd="/",
        env=environment(dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    tail = Tail(process)
    try:
        first = tail.err.readline()
        assert first.startswith("following "), first + tail.err.read()
        yield tail
    finally:
        process.kill()
        process.wait()
        tail.close()


async def test_every_event_is_a_line_for_people(hand: Hand) -> None:
    workflow = Workflow(f"bill {FORGED}", context={"label": f"monthly {FORGED}"})
    workflow.add("pay", step(max_attempts=2))
    workflow.add("thank", step(), deps=["pay"])

    with tail(dsn=hand.dsn) as running:
        workflow_id = await hand.insert(workflow)
        await hand.run(workflow_id, {"pay": ConnectionError(f"the bank {FORGED}")})
        await hand.run(workflow_id, {"pay": LookupError("no such account")})
        shown = running.lines(7)

    label = rf"{workflow_id} monthly a b\x1b[31m\r\u2028c"
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z  ", "", line) for line in shown] == [
        f"Runnable      released   {label} / pay",
        f"Running       started    {label} / pay",
        rf"Waiting       retrying   {label} / pay  attempt 1: ConnectionError: the bank a b\x1b[31m \u2028c",
        f"Running       started    {label} / pay  attempt 2",
        f"Finished      discarded  {label} / pay  attempt 2: LookupError: no such account",
        f"Finished      cancelled  {label} / thank",
        f"Finished      finished   {label}  failed; not completed: pay, thank",
    ]


async def test_with_json_every_line_is_an_event_with_the_keys_of_the_reference(hand: Hand) -> None:
    with tail("--json", dsn=hand.dsn) as running:
        workflow_id = await hand.insert(chain(2))
        await hand.run_all(workflow_id, {"json": 1})
        found = running.documents(7)

    written = await hand.powertools.events.read(since=str(int(found[0]["cursor"]) - 1))
    assert [(e["type"], e["number"], e["cursor"]) for e in found] == [
        ("workflow_finished" if isinstance(e, WorkflowFinished) else "step_updated", e.number, str(e.cursor))
        for e in written
    ]
    assert {e["schema_version"] for e in found} == {1}
    assert {e["workflow_id"] for e in found} == {str(workflow_id)}
    assert datetime.fromisoformat(found[0]["timestamp"]) == written[0].timestamp
    assert {key for e in found for key in e} - {"schema_version"} == promised(("events", "tail"))


async def test_it_follows_one_workflow_until_that_has_finished(hand: Hand) -> None:
    mine, others = await hand.insert(chain(2)), await hand.insert(chain(2))

    with tail("--json", "--workflow", str(mine), "--until-finished", dsn=hand.dsn) as running:
        await hand.run_all(others)
        await hand.run_all(mine)
        ended = running.end()

    found = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert {e["workflow_id"] for e in found} == {str(mine)}
    assert [e["number"] for e in found] == [2, 3, 4, 5, 6, 7]


async def test_until_finished_tells_by_its_exit_code_how_it_ended(hand: Hand) -> None:
    completed, failed = await hand.insert(chain(1)), await hand.insert(chain(1))
    await hand.run(completed, {"s0": None})
    await hand.run(failed, {"s0": ValueError("no")})

    def ask(workflow_id: WorkflowId, *more: str) -> Ended:
        return powertools("events", "tail", "--workflow", str(workflow_id), "--until-finished", *more, dsn=hand.dsn)

    assert [(ask(w).code, ask(w).out) for w in (completed, failed)] == [(0, ""), (6, "")]
    replayed = ask(failed, "--since", "0")
    assert replayed.code == 6
    assert replayed.out.splitlines()[-1].endswith(f"finished   {failed} chain  failed; not completed: s0")


async def test_since_begins_behind_that_event(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": None})
    head = await hand.powertools.events.head()

    with tail("--json", "--since", str(head - 2), dsn=hand.dsn) as running:
        found = running.documents(2)

    assert [e["cursor"] for e in found] == [str(head - 1), str(head)]


async def test_an_interrupt_ends_it_quietly(hand: Hand) -> None:
    with tail(dsn=hand.dsn) as running:
        ended = running.interrupt()

    assert (ended.code, ended.out, ended.err.strip()) == (130, "", "")


async def test_a_reader_that_leaves_ends_it_quietly(hand: Hand) -> None:
    with tail("--json", dsn=hand.dsn) as running:
        running.out.close()
        await hand.insert(chain(1))
        code = running._process.wait(WITHIN)
        err = running.err.read()

    assert (code, err) == (141, "")


async def test_it_goes_on_without_a_gap_when_the_database_was_away(server_dsn: str, hand: Hand) -> None:
    with tail("--json", dsn=hand.dsn) as running:
        workflow_id = await hand.insert(chain(3))
        first = running.documents(1)
        with no_connections(server_dsn, await hand.one("SELECT current_database()")):
            await hand.rows(END_SESSIONS)
            warned = running.err.readline()
            await hand.run_all(workflow_id)
        found = first + running.documents(9)
        ended = running.interrupt()

    assert [e["number"] for e in found] == list(range(1, 11))
    assert warned.startswith("warning: ")
    assert "Traceback" not in ended.err


@contextmanager
def no_connections(server_dsn: str, database: str) -> Iterator[None]:
    """New sessions are refused."""
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(server_dsn, autocommit=True) as conn:
        conn.execute(allow.format(sql.Identifier(database), sql.Literal(False)))
        try:
            yield
        finally:
            conn.execute(allow.format(sql.Identifier(database), sql.Literal(True)))


async def test_an_unknown_workflow_is_not_found(hand: Hand) -> None:
    ended = powertools("events", "tail", "--workflow", "4711", dsn=hand.dsn)

    assert ended.code == 3
    assert ended.error.startswith("workflow 4711 does not exist")


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9223372036854775808"])
def test_a_cursor_that_is_none_is_a_usage_error(shared_dsn: str, cursor: str) -> None:
    ended = powertools("events", "tail", f"--since={cursor}", dsn=shared_dsn)

    assert ended.code == 2
    assert f"{cursor!r} is not a cursor: cursors are whole numbers from 0" in ended.error


def test_until_finished_needs_a_workflow(shared_dsn: str) -> None:
    assert powertools("events", "tail", "--until-finished", dsn=shared_dsn).code == 2


async def test_a_cursor_that_is_not_in_the_log_is_refused_with_those_that_are(hand: Hand) -> None:
    await hand.run_all(await hand.insert(chain(2)))
    await hand.insert(chain(1))
    head = await hand.powertools.events.head()
    await hand.rows("SELECT powertools.prune_events_v1('0 s', 1000)")

    for cursor in (1, head + 1):
        ended = powertools("events", "tail", "--since", str(cursor), dsn=hand.dsn)
        assert ended.code == 5
        assert f"cursor {cursor} is not in the event log" in ended.error
        assert f"to {head}" in ended.error
    await hand.leave_empty()  # an invariant wants the last event of every step


async def test_a_topic_is_followed_in_the_order_of_its_log(hand: Hand) -> None:
    trouble = TROUBLES["orphaned_jobs"]
    with tail("--topic", "incident:all", dsn=hand.dsn) as running:
        await trouble.happen(hand)
        [incident] = (await project(hand)).values()
        await hand.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")
        await trouble.end(hand)
        await project(hand)
        lines = running.lines(3)

    assert [re.sub(r"^\S+ \S+  ", "", line) for line in lines] == [
        f"Needs Review  incident.opened  incident {incident.id}  {incident.title}",
        f"Acknowledged  incident.acknowledged  incident {incident.id} by ada  {incident.title}",
        f"Resolved      incident.resolved  incident {incident.id}  {incident.title}",
    ]


async def test_a_notice_in_json_has_every_field_of_its_kind(hand: Hand) -> None:
    await TROUBLES["orphaned_jobs"].happen(hand)
    await project(hand)
    [event] = await hand.powertools.events.read_topic("incident:all", since="0")

    with tail("--topic", "incident:all", "--since", "0", "--json", dsn=hand.dsn) as running:
        [document] = running.documents(1)

    assert document.keys() - {"schema_version"} == event.to_dict().keys()
    assert (document["type"], document["fingerprint"]) == ("incident_updated", TROUBLES["orphaned_jobs"].fingerprint)


@pytest.mark.parametrize("topic", ["jobs", "incident:x", "audit:7"])
def test_what_is_no_topic_is_refused_in_one_line(hand: Hand, topic: str) -> None:
    ended = powertools("events", "tail", "--topic", topic, dsn=hand.dsn)

    assert ended.code == 2
    assert "workflow:all" in ended.err
