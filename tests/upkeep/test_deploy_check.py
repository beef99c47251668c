"""``powertools check``: every deploy that would break work under way is found, by real processes on real packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from oban import Job

from oban_powertools import Powertools, Workflow
from tests.support.command import Ended, powertools

SHIPPED = """
from oban import job, worker

@job(queue="mail")
def fetch(account: int, *, deep: bool = False) -> dict: ...

@job()
def bill(customer: dict, total: int = 0) -> None: ...

@worker()
class Report:
    async def process(self, job): ...
"""

DEPLOYS = {
    "a function that is gone": (
        SHIPPED.replace("def bill", "def invoice"),
        "worker",
        "myapp.workers.bill",
        "cannot be imported: WorkerResolutionError",
    ),
    "a class that is gone": (
        SHIPPED.replace("class Report", "class Reports"),
        "worker",
        "myapp.workers.Report",
        "cannot be imported: WorkerResolutionError",
    ),
    "a parameter that is new and required": (
        SHIPPED.replace("customer: dict,", "customer: dict, currency: str,"),
        "arguments",
        "myapp.workers.bill",
        "missing a required argument: 'currency'; stored: (customer)",
    ),
    "a parameter of another name": (
        SHIPPED.replace("customer: dict", "client: dict"),
        "arguments",
        "myapp.workers.bill",
        "missing a required argument: 'client'; stored: (customer)",
    ),
    "a parameter that is gone": (
        SHIPPED.replace("account: int, *, ", "account: int, ").replace(", deep: bool = False", ""),
        "arguments",
        "myapp.workers.fetch",
        "got an unexpected keyword argument 'deep'; stored: (account, deep)",
    ),
    "a class without process": (
        "from oban import job\n" + SHIPPED.replace("@worker()\n", "").replace("def process", "def run"),
        "worker",
        "myapp.workers.Report",
        "is no worker: it has no process",
    ),
    "a process that takes no job": (
        SHIPPED.replace("process(self, job)", "process(self)"),
        "worker",
        "myapp.workers.Report",
        "cannot be called by Oban: too many positional arguments",
    ),
    "a worker that needs arguments of its own": (
        SHIPPED.replace("async def process", "def __init__(self, dsn): ...\n    async def process"),
        "worker",
        "myapp.workers.Report",
        "cannot be called by Oban: missing a required argument: 'dsn'",
    ),
    "a name that is no worker any more": (
        SHIPPED.replace("class Report", "class Reports") + "\nReport = 7\n",
        "worker",
        "myapp.workers.Report",
        "cannot be imported: WorkerResolutionError",
    ),
}
"""What was done to the code -> the code, the check that finds it, the worker and what is found."""


@dataclass
class Release:
    """A package on disk and the command run in it."""

    directory: Path
    dsn: str

    def ship(self, workers: str) -> None:
        package = self.directory / "myapp"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "workers.py").write_text(workers)

    def check(self, *options: str) -> Ended:
        return powertools("check", "--import", "myapp.workers", *options, "--json", dsn=self.dsn, cwd=self.directory)


@pytest.fixture
async def release(tmp_path: Path, dsn: str) -> Release:
    """The code as it was shipped, with work of every kind under way: released steps, pending ones, plain jobs."""
    release = Release(tmp_path, dsn)
    release.ship(SHIPPED)
    await insert(dsn, sync())
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO oban_jobs (worker, args) VALUES ('myapp.workers.Report', '{\"day\": 1}')")
    return release


def sync() -> Workflow:
    """fetch -> bill with a reference -> a report of each of its items."""
    workflow = Workflow("sync")
    fetched = workflow.add("fetch", job("fetch", {"account": 1, "deep": True}, queue="mail"))
    workflow.add("bill", job("bill", {"customer": fetched.result["customer"]}))
    report = type("Report", (), {"__module__": "myapp.workers"})
    workflow.map("reports", report, over=fetched.result["reports"])
    return workflow


def job(name: str, args: dict[str, Any], queue: str = "default") -> Job:
    return Job(f"myapp.workers.{name}", args=args, queue=queue)


async def insert(dsn: str, *workflows: Workflow) -> None:
    async with Powertools.open(dsn) as opened:
        await opened.workflows.insert_many(list(workflows))


def findings(ended: Ended, check: str) -> Sequence[tuple[str, str]]:
    found = [f for f in ended.json["findings"] if f["check"] == check]
    return [(f["subject"].split(" ")[1], f["found"]) for f in found]


async def test_the_code_that_wrote_the_work_gets_on_with_it(release: Release) -> None:
    ended = release.check()

    assert (ended.code, ended.json["findings"]) == (0, [])
    assert (ended.json["workers"], ended.json["steps"]) == (3, 4)


@pytest.mark.parametrize("deploy", DEPLOYS)
async def test_an_incompatible_deploy_is_found(deploy: str, release: Release) -> None:
    code, check, worker, found = DEPLOYS[deploy]
    release.ship(code)

    ended = release.check()

    assert ended.code == 6
    matching = [(w, f) for w, f in findings(ended, check) if w == worker and f.startswith(found)]
    assert matching, ended.json["findings"]
    assert {f["subject"].split(" ")[1] for f in ended.json["findings"]} == {worker}


async def test_work_that_is_over_is_not_compared(release: Release) -> None:
    release.ship("from oban import job\n")
    with psycopg.connect(release.dsn) as conn:
        conn.execute("TRUNCATE powertools.workflows")
        conn.execute("UPDATE oban_jobs SET state = 'completed'")

    ended = release.check()

    assert (ended.code, ended.json["steps"]) == (0, 0)


async def test_a_queue_that_nobody_works_on_is_found(release: Release) -> None:
    ended = release.check("--queues", "default:20")

    assert ended.code == 6
    assert findings(ended, "queue") == [("myapp.workers.fetch", "queue mail")]
    assert release.check("--queues", "default:20,mail:5").code == 0


async def test_the_queues_of_the_configuration_count(release: Release) -> None:
    (release.directory / "oban.toml").write_text("[queues]\nmail = 5\n")

    assert {worker for worker, _ in findings(release.check(), "queue")} == {
        "myapp.workers.bill",
        "myapp.workers.Report",
    }


async def test_args_that_the_new_limit_refuses_are_found(release: Release) -> None:
    ended = release.check("--payload-limit", "17")

    assert [worker for worker, _ in findings(ended, "payload")] == ["myapp.workers.bill"]


async def test_semantics_that_the_code_does_not_know_are_found(release: Release) -> None:
    with psycopg.connect(release.dsn) as conn:
        conn.execute("UPDATE powertools.workflows SET semantics_version = 3")

    ended = release.check()

    [found] = [f for f in ended.json["findings"] if f["check"] == "semantics"]
    assert (ended.code, found["found"]) == (6, "semantics version 3")


async def test_args_that_no_function_takes_are_found(release: Release) -> None:
    with psycopg.connect(release.dsn) as conn:
        conn.execute("INSERT INTO oban_jobs (worker, args) VALUES ('myapp.workers.fetch', '[]')")

    ended = release.check()

    assert (ended.code, findings(ended, "arguments")) == (
        6,
        [("myapp.workers.fetch", "the args are no object; stored: ()")],
    )


async def test_many_steps_alike_are_one_finding(release: Release) -> None:
    await insert(release.dsn, *[sync() for _ in range(30)])
    release.ship(SHIPPED.replace("customer: dict", "client: dict"))

    [found] = release.check().json["findings"]

    assert "and 30 more like it)" in found["subject"]


async def test_a_module_that_ends_the_process_is_only_a_finding(release: Release) -> None:
    (release.directory / "rude.py").write_text("raise SystemExit(0)")
    with psycopg.connect(release.dsn) as conn:
        conn.execute("INSERT INTO oban_jobs (worker) VALUES ('rude.Worker')")

    ended = release.check()

    assert ended.code == 6
    assert findings(ended, "worker") == [("rude.Worker", "cannot be imported: SystemExit: 0")]


async def test_a_module_to_import_that_is_not_there_is_a_usage_error(release: Release) -> None:
    ended = powertools("check", "--import", "nowhere", dsn=release.dsn, cwd=release.directory)

    assert ended.code == 2
    assert ended.error.startswith("cannot import 'nowhere'")


async def test_people_read_what_is_expected_and_what_to_do(release: Release) -> None:
    release.ship(SHIPPED.replace("customer: dict", "client: dict"))

    ended = powertools("check", "--import", "myapp.workers", dsn=release.dsn, cwd=release.directory)

    assert ended.code == 6
    assert "  expected: bill(client: dict, total: int = 0)" in ended.out
    assert ended.out.endswith("4 steps and jobs of 3 workers compared; 1 finding\n")
