"""A worker process answers probes and Prometheus, and logs its jobs as it is told."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from oban import Job

from oban_powertools import Workflow
from oban_powertools.cli.probes import UNREADY_AFTER
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand
from tests.support.command import Worker, worker
from tests.support.ledger import eventually

WORKERS = """
import threading
from oban import job

@job(max_attempts=1)
def double(number):
    return number * 2

@job(max_attempts=1)
def outlasts():
    threading.Event().wait()
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(WORKERS)
    return tmp_path


def answer(address: str, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(address + path, timeout=20) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def address_of(running: Worker) -> str:
    [address] = re.findall(r"http://\S+", running.read_until("answering probes on"))
    return address


async def insert(hand: Hand, job: Job) -> WorkflowId:
    workflow = Workflow("probed")
    workflow.add("s0", job)
    return await hand.insert(workflow)


async def test_a_worker_process_answers_its_probes_and_prometheus(hand: Hand, shop: Path) -> None:
    with worker("--queues", "default:2", "--port", "0", dsn=hand.dsn, cwd=shop) as running:
        address = address_of(running)

        async def ready() -> bool:
            return answer(address, "/readyz")[0] == 200

        await eventually(ready)
        live, metrics, other = (answer(address, path) for path in ("/livez", "/metrics", "/"))
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert live == (200, "ok\n")
    assert "powertools_open_steps" in metrics[1]
    assert other == (404, "/livez, /readyz or /metrics\n")
    assert UNREADY_AFTER == 10


def two_free_ports() -> int:
    """The first of two ports, one after the other, on which nobody listens."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 1)):
                return port


async def test_each_of_several_processes_answers_on_a_port_of_its_own(hand: Hand, shop: Path) -> None:
    port = two_free_ports()
    arguments = ("--queues", "default:2", "--processes", "2", "--port", str(port))
    with worker(*arguments, dsn=hand.dsn, cwd=shop) as running:
        addresses = {address_of(running), address_of(running)}

        async def ready() -> bool:
            return {answer(address, "/readyz") for address in addresses} == {(200, "ok\n")}

        assert await eventually(ready, within=30)
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert addresses == {f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"}


async def test_a_port_that_is_taken_is_refused(hand: Hand, shop: Path) -> None:
    with worker("--queues", "default:2", "--port", "0", dsn=hand.dsn, cwd=shop) as running:
        port = address_of(running).rpartition(":")[2]
        with worker("--queues", "default:2", "--port", port, dsn=hand.dsn, cwd=shop) as other:
            assert "cannot listen on 127.0.0.1" in other.read_until("error:")
            assert other.end() == 1


async def test_jobs_are_logged_as_json_when_asked_for(hand: Hand, shop: Path) -> None:
    await insert(hand, Job("shop.double", args={"number": 2}))

    with worker("--queues", "default:2", "--log-jobs", "--log-format", "json", dsn=hand.dsn, cwd=shop) as running:
        entry = json.loads(running.read_until("shop.double"))
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert (entry["level"], entry["logger"], entry["state"]) == ("info", "oban_powertools.cli", "completed")
    assert (entry["worker"], entry["queue"], entry["attempt"]) == ("shop.double", "default", 1)
    assert entry["seconds"] >= 0


async def test_a_function_that_outlasts_the_grace_period_is_named_and_keeps_no_process_from_ending(
    hand: Hand, shop: Path
) -> None:
    workflow_id = await insert(hand, Job("shop.outlasts"))

    with worker("--queues", "default:2", dsn=hand.dsn, cwd=shop, OBAN_SHUTDOWN_GRACE_PERIOD="0.1") as running:

        async def executing() -> bool:
            return await hand.states(workflow_id) == {"s0": "executing"}

        await eventually(executing)
        running.signal(signal.SIGTERM)
        named = running.read_until("the grace period of queue default is over")
        assert running.end() == 0

    assert str((await hand.steps(workflow_id))["s0"].job_id) in named
