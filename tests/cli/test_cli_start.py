"""``powertools start``: a real worker process, from its first job to its last signal."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from oban import Job

from oban_powertools import Workflow, WorkflowState
from tests.support.by_hand import Hand
from tests.support.command import powertools, worker

IN_TIME = timedelta(seconds=30)
WORKERS = """
import asyncio
from oban import job

@job()
async def double(number):
    return number * 2

@job(max_attempts=1)
async def fail():
    raise ValueError("no such account\\n(second line)")

@job()
async def wait_for(pipe):
    await asyncio.to_thread(lambda: open(pipe).read())
    return "done"
"""

LEAVING = """
import asyncio
import sys
from oban import job

KEPT = []

async def leave():
    sys.exit(3)

async def interrupt():
    raise KeyboardInterrupt

@job(max_attempts=1)
async def behind_its_back(what):
    KEPT.append(asyncio.create_task({"exit": leave, "interrupt": interrupt}[what]()))
    await asyncio.sleep(0.1)
    return "went on"

@job(max_attempts=1)
async def in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(leave())

@job(max_attempts=1)
async def in_a_callback():
    asyncio.get_running_loop().call_soon(sys.exit, 4)
    await asyncio.sleep(0.1)
    return "went on"

@job(max_attempts=1)
async def stops_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.1)
    return "went on"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with the module shop."""
    (tmp_path / "shop.py").write_text(WORKERS)
    return tmp_path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Opening it for writing waits until a job reads it; closing it lets the job end."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def doubling() -> Workflow:
    workflow = Workflow("doubling")
    first = workflow.add("first", Job("shop.double", args={"number": 1}))
    workflow.add("second", Job("shop.double", args={"number": first.result}))
    return workflow


@pytest.mark.parametrize("turbo", ["--turbo", "--no-turbo"])
async def test_a_worker_process_finishes_a_workflow_and_stops_on_sigterm(hand: Hand, shop: Path, turbo: str) -> None:
    handle = await hand.workflows.insert(doubling())

    with worker("--queues", "default:5", "--import", "shop", turbo, dsn=hand.dsn, cwd=shop) as running:
        record = await handle.wait(IN_TIME)
        running.signal(signal.SIGTERM)

        assert running.end() == 0

    assert record.state is WorkflowState.COMPLETED
    assert await hand.workflows.results(handle.id) == {"first": 2, "second": 4}


async def test_a_worker_process_outlives_whatever_its_jobs_leave_in_its_event_loop(hand: Hand, shop: Path) -> None:
    (shop / "leaving.py").write_text(LEAVING)
    workflow = Workflow("leaving")
    for what in ("exit", "interrupt"):
        workflow.add(what, Job("leaving.behind_its_back", args={"what": what}, max_attempts=1))
    for name in ("in_a_group", "in_a_callback", "stops_the_loop"):
        workflow.add(name, Job(f"leaving.{name}", max_attempts=1))
    handle = await hand.workflows.insert(workflow)

    with worker("--queues", "default:5", dsn=hand.dsn, cwd=shop) as running:
        await handle.wait(IN_TIME)
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    steps = await hand.steps(handle.id)
    assert steps.pop("in_a_group").error["error"].rstrip().endswith("SystemExit: 3")
    assert {name: (step.state, step.result, step.attempt) for name, step in steps.items()} == dict.fromkeys(
        ("exit", "interrupt", "in_a_callback", "stops_the_loop"), ("completed", "went on", 1)
    )


async def test_a_worker_reads_the_same_settings_as_obans_own_command(hand: Hand, shop: Path) -> None:
    (shop / "oban.toml").write_text(f'dsn = "{hand.dsn}"\nnode = "app-7"\npool_max_size = 3\n[queues]\ndefault = 5\n')
    handle = await hand.workflows.insert(doubling())

    with worker("--queues", "mail:2", dsn=None, cwd=shop) as running:
        started = running.read_until("working on")
        await handle.wait(IN_TIME)
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert "working on default:5, mail:2 as app-7" in started
    assert await hand.one("SELECT attempted_by[1] FROM oban_jobs ORDER BY id LIMIT 1") == "app-7"


@pytest.mark.parametrize(
    ("named", "told"), [("shop", "MODULE:NAME"), ("shop:fail", "no oban_powertools.Settings"), ("none:x", "import")]
)
async def test_settings_that_are_none_are_refused(shared_dsn: str, shop: Path, named: str, told: str) -> None:
    ended = powertools("start", "--queues", "default:1", "--settings", named, dsn=shared_dsn, cwd=shop)

    assert ended.code == 2
    assert told in ended.error


async def test_sigterm_lets_a_running_job_finish(hand: Hand, shop: Path, pipe: Path) -> None:
    workflow_id = await hand.insert(waiting_for(pipe))

    with worker("--queues", "default:1", dsn=hand.dsn, cwd=shop) as running:
        with pipe.open("w"):
            running.signal(signal.SIGTERM)
            running.read_until("SIGTERM: letting running jobs finish")
        assert running.end() == 0

    assert await hand.states(workflow_id) == {"slow": "completed"}


async def test_a_second_interrupt_ends_the_process_at_once(hand: Hand, shop: Path, pipe: Path) -> None:
    workflow_id = await hand.insert(waiting_for(pipe))

    with worker("--queues", "default:1", dsn=hand.dsn, cwd=shop) as running, pipe.open("w"):
        running.signal(signal.SIGINT)
        running.read_until("Ctrl+C again ends at once")
        running.signal(signal.SIGINT)

        assert running.end() == 130

    assert await hand.states(workflow_id) == {"slow": "executing"}


async def test_a_failed_job_is_one_line_of_log_without_its_args(hand: Hand, shop: Path) -> None:
    workflow = Workflow("failing")
    workflow.add("bad", Job("shop.fail", args={}, max_attempts=1, meta={"token": "s3cret"}))
    workflow_id = await hand.insert(workflow)

    with worker("--queues", "default:1", dsn=hand.dsn, cwd=shop) as running:
        line = running.read_until("shop.fail")

    assert f"(step bad of workflow {workflow_id}) attempt 1/1 is discarded: ValueError: no such account" in line
    assert "s3cret" not in line


def test_a_data_directory_needs_nothing_but_itself(server_directory: Path, tmp_path: Path) -> None:
    here = ("--data-directory", str(server_directory / "data"))

    with worker(*here, "--queues", "default:1", dsn=None, cwd=tmp_path) as running:
        running.read_until("working on")
        status = powertools("status", *here)
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert status.code == 0
    assert powertools("workflow", "list", *here).err == "no workflow yet\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "cannot import 'broken': ModuleNotFoundError: No module named 'broken'"),
        ("import numpyx", "cannot import 'broken': ModuleNotFoundError: No module named 'numpyx' ("),
        ("def f(:", "cannot import 'broken': SyntaxError: invalid syntax (broken.py, line 1)"),
        ("1 / 0", "cannot import 'broken': ZeroDivisionError: division by zero ("),
        ("import sys; sys.exit()", "cannot import 'broken': SystemExit: "),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(source: str | None, reason: str, dsn: str, tmp_path: Path) -> None:
    if source:
        (tmp_path / "broken.py").write_text(source)

    ended = powertools("start", "--queues", "default:1", "--import", "broken", dsn=dsn, cwd=tmp_path)

    assert ended.code == 2
    assert ended.error.startswith(reason)


@pytest.mark.parametrize(
    ("queues", "reason"),
    [
        ("default", "'default' is not a queue with its limit"),
        ("default:0", "'default:0' is not a queue with its limit"),
        ("default:ten", "'default:ten' is not a queue with its limit"),
        ("a:1,,b:1", "'' is not a queue with its limit"),
        ("a:1,a:2", "queue 'a' is named twice"),
    ],
)
def test_malformed_queues_are_refused_not_ignored(queues: str, reason: str, dsn: str) -> None:
    ended = powertools("start", "--queues", queues, dsn=dsn)

    assert ended.code == 2
    assert reason in ended.error


def test_a_worker_without_a_queue_is_a_usage_error(dsn: str) -> None:
    ended = powertools("start", dsn=dsn)

    assert ended.code == 2
    assert ended.error.startswith("no queue to work on: pass --queues default:20")


def waiting_for(pipe: Path) -> Workflow:
    workflow = Workflow("waiting")
    workflow.add("slow", Job("shop.wait_for", args={"pipe": str(pipe)}))
    return workflow
