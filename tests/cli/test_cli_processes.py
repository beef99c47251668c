"""``powertools start --processes`` keeps its worker processes, and ``--reload`` follows the code."""

import os
import re
import signal
from pathlib import Path

import pytest
from oban import Job

from oban_powertools import Workflow
from tests.support.by_hand import Hand
from tests.support.command import Worker, worker
from tests.support.ledger import eventually

WORKERS = """
from oban import job

@job(max_attempts=1)
def version():
    return 1
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(WORKERS)
    return tmp_path


def started(running: Worker) -> int:
    """The pid of the next worker process."""
    [pid] = re.findall(r"pid (\d+)", running.read_until("started: pid"))
    return int(pid)


async def work_on(hand: Hand) -> object:
    workflow = Workflow("versions")
    workflow.add("s0", Job("shop.version", max_attempts=1))
    handle = await hand.workflows.insert(workflow)

    async def ended() -> bool:
        return (await hand.workflows.get(handle.id)).state.terminal

    await eventually(ended, within=40)
    return (await hand.workflows.results(handle.id))["s0"]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_worker_process_that_is_killed_is_started_again_and_sigterm_ends_them_all(
    hand: Hand, shop: Path
) -> None:
    with worker("--queues", "default:2", "--processes", "2", dsn=hand.dsn, cwd=shop) as running:
        first, second = started(running), started(running)
        os.kill(first, signal.SIGKILL)
        running.read_until("it starts again in 1 s")
        third = started(running)
        assert await work_on(hand) == 1
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert [pid for pid in (second, third) if lives(pid)] == []


async def test_worker_processes_end_with_their_supervisor_however_it_ends(hand: Hand, shop: Path) -> None:
    with worker("--queues", "default:2", "--processes", "2", dsn=hand.dsn, cwd=shop) as running:
        pids = [started(running), started(running)]
        running.read_until("working on")
        running.signal(signal.SIGKILL)

        async def ended() -> bool:
            return not any(lives(pid) for pid in pids)

        assert await eventually(ended, within=40)


async def test_changed_code_is_what_the_next_job_runs(hand: Hand, shop: Path) -> None:
    with worker("--queues", "default:2", "--import", "shop", "--reload", dsn=hand.dsn, cwd=shop) as running:
        running.read_until("working on")
        before = await work_on(hand)
        (shop / "shop.py").write_text(WORKERS.replace("return 1", "return 22"))
        running.read_until("code has changed")
        running.read_until("working on")
        after = await work_on(hand)
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert (before, after) == (1, 22)


async def test_a_command_that_cannot_work_is_not_started_again_and_again(hand: Hand, shop: Path) -> None:
    with worker("--queues", "default:2", "--import", "nothing", "--processes", "2", dsn=hand.dsn, cwd=shop) as running:
        running.read_until("cannot import")
        assert running.end() == 2
