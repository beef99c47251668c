"""A process that has ended is seen by another of its host: by boot, namespace, pid and start, never by a name."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from oban import Job

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.runtime import processes
from oban_powertools.runtime.executors import beat_args, read_beats
from oban_powertools.runtime.processes import Process, has_ended, this_process
from tests.support.by_hand import Hand
from tests.support.executing import beat, gone, heartbeat, rescue, rescues, take
from tests.support.ledger import eventually
from tests.support.troubles import plain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()


def started(pid: int) -> int:
    ticks = processes._ticks(pid)
    assert ticks is not None
    return ticks


# What can be seen of a process


def test_this_process_lives_and_knows_itself() -> None:
    me = this_process()

    assert me is not None
    assert (me.pid, has_ended(me.pid, me.ticks)) == (os.getpid(), False)


def test_a_child_has_the_same_host_and_another_start() -> None:
    ask = "from oban_powertools.runtime.processes import this_process as t; p = t(); print(p.host, p.pid, p.ticks)"
    host, pid, ticks = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, check=True, text=True
    ).stdout.split()
    me = this_process()

    assert me is not None
    assert (host, int(pid) != me.pid, int(ticks) >= me.ticks) == (me.host, True, True)


def test_a_killed_process_has_ended_before_its_parent_asks_for_it_and_after(child: subprocess.Popen[bytes]) -> None:
    ticks = started(child.pid)
    alive = has_ended(child.pid, ticks)

    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    zombie = has_ended(child.pid, ticks)
    child.wait()

    assert (alive, zombie, has_ended(child.pid, ticks)) == (False, True, True)


def test_a_stopped_process_has_not_ended(child: subprocess.Popen[bytes]) -> None:
    os.kill(child.pid, 19)

    assert not has_ended(child.pid, started(child.pid))


def test_a_process_that_got_the_pid_of_another_is_told_apart_by_its_start(child: subprocess.Popen[bytes]) -> None:
    assert has_ended(child.pid, started(child.pid) - 1)


def test_what_proc_does_not_show_has_not_ended(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    assert not has_ended(child.pid, 1)


def test_without_proc_nobody_knows_who_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    assert this_process() is None


@pytest.mark.parametrize("changed", ["boot", "namespace", "machine"])
def test_another_boot_namespace_or_machine_is_another_host(
    changed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lay_out(name: str, boot: str, namespace: str) -> Path:
        proc = tmp_path / name
        (proc / "sys/kernel/random").mkdir(parents=True)
        (proc / "sys/kernel/random/boot_id").write_text(boot)
        (proc / "self/ns").mkdir(parents=True)
        (proc / "self/ns/pid").symlink_to(f"/proc/self/ns/{namespace}")
        return proc

    monkeypatch.setattr(processes, "_machine", lambda: "m")
    monkeypatch.setattr(processes, "_PROC", lay_out("before", "b1", "pid"))
    before, again = processes._host(), processes._host()
    monkeypatch.setattr(processes, "_machine", lambda: "m2" if changed == "machine" else "m")
    monkeypatch.setattr(
        processes,
        "_PROC",
        lay_out("after", "b2" if changed == "boot" else "b1", "uts" if changed == "namespace" else "pid"),
    )

    assert before == again is not None
    assert processes._host() != before


# What the database believes


@pytest.fixture
async def session(shared_dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A session that beats for a process."""
    async with await psycopg.AsyncConnection.connect(shared_dsn, autocommit=True) as conn:
        yield conn


async def beat_from(hand: Hand, session: psycopg.AsyncConnection, producer: str, host: str = "here") -> None:
    beats = read_beats([heartbeat(producer, gone_after=timedelta(minutes=10))], Settings())
    process = Process(host=host, pid=4711, ticks=99)
    await session.execute(hand.powertools._services.queries["beat"], beat_args(beats, Settings(), process))


async def say_dead(hand: Hand, producer: str, host: str = "here") -> int:
    ids = [heartbeat(producer)["executor_id"]]
    return await hand.one("SELECT powertools.executors_died_v1(%s, %s, 'me')", ids, host)


async def test_a_process_that_ended_with_its_session_is_gone_without_witness_and_wait(
    hand: Hand, session: psycopg.AsyncConnection
) -> None:
    await beat_from(hand, session, "p1")
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p1")
    pid = session.info.backend_pid
    await session.close()
    await eventually(lambda: _ended(hand, pid))

    died = await say_dead(hand, "p1")
    found = await gone(hand)
    await rescue(hand)

    assert (died, found, await rescues(hand)) == (1, {"p1": "gone"}, [("gone", "retried", 1)])
    evidence = await hand.one(
        "SELECT details ->> 'process_ended_seen_by' FROM powertools.audit WHERE action = 'job_rescue'"
    )
    assert evidence == "me"


async def _ended(hand: Hand, pid: int) -> bool:
    return await hand.one("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid) == 0


async def test_while_its_session_goes_on_nobody_is_believed(hand: Hand, session: psycopg.AsyncConnection) -> None:
    await beat_from(hand, session, "p1")

    assert (await say_dead(hand, "p1"), await gone(hand)) == (0, {})


async def test_behind_a_pooler_it_is_believed_when_half_of_the_promise_is_missed(
    hand: Hand, session: psycopg.AsyncConnection
) -> None:
    await beat_from(hand, session, "p1")
    await hand.rows("UPDATE powertools.executors SET beat_at = beat_at - interval '5 min'")

    assert (await say_dead(hand, "p1"), await gone(hand)) == (1, {"p1": "gone"})


async def test_of_another_host_nobody_is_believed(hand: Hand, session: psycopg.AsyncConnection) -> None:
    await beat_from(hand, session, "p1")
    await hand.rows("UPDATE powertools.executors SET beat_at = beat_at - interval '5 min'")

    assert (await say_dead(hand, "p1", host="there"), await gone(hand)) == (0, {})


async def test_one_that_beats_again_is_alive(hand: Hand, session: psycopg.AsyncConnection) -> None:
    await beat_from(hand, session, "p1")
    await hand.rows("UPDATE powertools.executors SET beat_at = beat_at - interval '5 min'")
    await say_dead(hand, "p1")

    await beat_from(hand, session, "p1")

    assert await gone(hand) == {}


async def test_a_beat_tells_the_others_of_its_host_only(hand: Hand, session: psycopg.AsyncConnection) -> None:
    await beat_from(hand, session, "p1")
    await beat_from(hand, session, "p2", host="there")
    await beat(hand, "p3")
    beats = read_beats([heartbeat("p4")], Settings())
    args = beat_args(beats, Settings(), Process(host="here", pid=4712, ticks=99))

    rows = await (await session.execute(hand.powertools._services.queries["beat"], args)).fetchall()

    assert rows == [(1, [heartbeat("p1")["executor_id"]], [4711], [99], [])]


# Real processes

WORKER = """
import asyncio, sys
from datetime import timedelta
from oban_powertools import Powertools, Settings

async def main():
    settings = Settings(executor_gone_after=timedelta(minutes=10))
    async with Powertools.open(sys.argv[1], queues={"default": 1}, settings=settings):
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def working_on(dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WORKER, dsn], cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("beside", [False, True], ids=["started after it", "running beside it"])
async def test_a_killed_worker_is_rescued_by_another_of_its_host_at_once(dsn: str, beside: bool) -> None:
    async with Powertools.open(dsn) as inserting, await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:

        async def attempt(number: int) -> bool:
            query = "SELECT count(*) FROM oban_jobs WHERE state = 'executing' AND attempt = %s"
            row = await (await conn.execute(query, (number,))).fetchone()
            return row == (1,)

        async def beating() -> bool:
            row = await (await conn.execute("SELECT count(*) FROM powertools.executors")).fetchone()
            return row == (2,)

        with ExitStack() as stack:
            victim = stack.enter_context(working_on(dsn))
            workflow = Workflow("killed")
            workflow.add("waits", Job("bench.steps.Wait", max_attempts=3))
            await inserting.workflows.insert(workflow)
            await eventually(lambda: attempt(1))
            if beside:
                stack.enter_context(working_on(dsn))
                await eventually(beating)
            victim.kill()
            if not beside:
                stack.enter_context(working_on(dsn))
            await eventually(lambda: attempt(2))
        rows = await (await conn.execute("SELECT why, action FROM powertools.rescues")).fetchall()

    assert rows == [("gone", "retried")]
