"""The story of a killed worker, from the kill to the audit, as an on-call engineer lives it: real processes only.

Workers are ``powertools start``; whoever is on call uses the command line. The test itself only submits, kills, and
waits for what processes have written down.
"""

import itertools
import shlex
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from oban import Job

from oban_powertools import Incident, Powertools, Settings, Workflow
from oban_powertools.workflows import WorkflowHandle
from tests.support.command import Ended, Worker, powertools, worker
from tests.support.ledger import eventually

pytestmark = pytest.mark.timeout(240)  # two dozen processes, on a machine that may be busy

SHOP = """
import asyncio
import os
from datetime import timedelta
from pathlib import Path

from oban import job
from oban_powertools import Settings, current_step

quick = {
    "executor_gone_after": timedelta(seconds=3),
    "executor_late_after": timedelta(seconds=10),
    "executor_missing_after": timedelta(seconds=10),
    "sweep_every": timedelta(seconds=0.25),
    "incidents_every": timedelta(seconds=0.5),
}
by_itself = Settings(**quick)
by_hand = Settings(**quick, rescue={"*": "operator"})


@job()
async def call(whom):
    step = current_step()
    with open("calls", "a") as calls:
        calls.write(f"{step.step} {step.attempt} {os.getpid()} {step.idempotency_key}\\n")
    while not Path("everybody answers").exists():
        await asyncio.sleep(0.02)
    return f"{whom} answered"


@job()
async def ship(bank, customer):
    return f"{bank}, {customer}"
"""
WITHIN = 60
"""Seconds that anything may take; far above what it needs."""
WHY = "its process was killed"
STEP = "ask the bank"
ASKED = (STEP, "ask the customer")
OUTCOME = {
    "ask the bank": "the bank answered",
    "ask the customer": "the customer answered",
    "ship": "the bank answered, the customer answered",
}


def order() -> Workflow:
    workflow = Workflow("order")
    bank = workflow.add("ask the bank", Job("shop.call", args={"whom": "the bank"}, max_attempts=3))
    customer = workflow.add("ask the customer", Job("shop.call", args={"whom": "the customer"}, max_attempts=3))
    workflow.add("ship", Job("shop.ship", args={"bank": bank.result, "customer": customer.result}))
    return workflow


class Shop:
    """An application in a directory, its database, and what its processes have written down."""

    def __init__(self, dsn: str, directory: Path, application: Powertools, settings: str) -> None:
        self._dsn = dsn
        self._directory = directory
        self._settings = settings
        self.application = application
        (directory / "shop.py").write_text(SHOP)

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """A worker process that works on the queue."""
        options = ("--queues", "default:5", "--import", "shop", "--settings", f"shop:{self._settings}")
        with worker(*options, dsn=self._dsn, cwd=self._directory) as started:
            started.read_until("working on")
            yield started

    def command(self, *arguments: str, actor: str = "ada") -> Ended:
        """What somebody on call types."""
        return powertools(*arguments, dsn=self._dsn, POWERTOOLS_ACTOR=actor)

    async def calls(self, count: int) -> list[list[str]]:
        """Step, attempt, process and idempotency key of each call that was begun, as soon as there are so many."""
        written = self._directory / "calls"

        async def begun() -> list[list[str]]:
            lines = written.read_text().splitlines() if written.exists() else []
            return [line.rsplit(maxsplit=3) for line in lines] if len(lines) >= count else []

        return await eventually(begun, within=WITHIN)

    def suggested(self, shown: str, repair: str) -> list[str]:
        """What follows ``repair preview`` in the command that ``incidents show`` names for this repair."""
        commands = [line[len("next: ") :] for line in shown.splitlines() if line.startswith(("next: ", "  or: "))]
        [command] = [command for command in commands if command.startswith(f"powertools repair preview {repair}")]
        return shlex.split(command)[3:]

    def preview(self, repair: list[str], actor: str = "ada") -> dict[str, Any]:
        """What it would do, with the token that does it."""
        return self.command("repair", "preview", *repair, "--json", actor=actor).json["preview"]

    def execute(self, shown: dict[str, Any], actor: str = "ada") -> Ended:
        """Do what was shown, or be refused."""
        return self.command("repair", "execute", shown["preview_token"], "--reason", WHY, actor=actor)

    def audited(self, outcome: str) -> list[dict[str, Any]]:
        """The records with this outcome, newest first."""
        return self.command("audit", "list", "--outcome", outcome, "--json").json["records"]

    async def until_all_beat(self) -> None:
        """Wait until every executor has beaten since the last one was started, so that none stands in for another."""

        async def beaten() -> bool:
            executors = await self.application.lifeline.list_executor_health()
            return min(each.beat_at for each in executors) > max(each.started_at for each in executors)

        await eventually(beaten, within=WITHIN)

    def answer(self) -> None:
        """From now on no call waits."""
        (self._directory / "everybody answers").touch()

    async def finishes(self, handle: WorkflowHandle) -> None:
        record = await handle.wait(timedelta(seconds=WITHIN))
        assert (record.state, await self.application.workflows.results(handle.id)) == ("completed", OUTCOME)

    async def incident(self, incident_class: str, of: Worker, **fields: Any) -> Incident:
        """The incident of this class about this worker, as soon as its fields are as asked."""

        async def found() -> list[Incident]:
            return [
                incident
                for state in ("active", "resolved")
                for incident in await self.application.lifeline.list_incidents(
                    state=state, incident_class=incident_class
                )
                if incident.evidence["node"].endswith(f".{of.pid}")
                and all(getattr(incident, name) == value for name, value in fields.items())
            ]

        [incident] = await eventually(found, within=WITHIN)
        return incident

    async def is_quiet(self) -> bool:
        """Whether a script that looks for open incidents finds none any more, sooner or later."""

        async def quiet() -> bool:
            return self.command("incidents", "list", "--fail-on", "open").code == 0

        return await eventually(quiet, within=WITHIN)

    async def is_audited(self) -> bool:
        """Whether every record is sealed, as soon as that is so, and the chain holds."""

        async def verified() -> Ended | None:
            ended = self.command("audit", "verify", "--json")
            return ended if ended.json["verification"]["unsealed"] == 0 else None

        ended = await eventually(verified, within=WITHIN)
        assert ended is not None
        return ended.code == 0 and ended.json["verification"]["rows"] > 0


@pytest.fixture
async def application(dsn: str) -> AsyncIterator[Powertools]:
    """Where orders come from: it runs no job, and its sweep sleeps, so that all else is done by workers."""
    async with Powertools.open(dsn, settings=Settings(sweep_every=timedelta(hours=1))) as application:
        yield application


async def test_what_a_killed_worker_left_is_found_explained_and_rescued_by_hand_exactly_as_shown(
    dsn: str, tmp_path: Path, application: Powertools
) -> None:
    shop = Shop(dsn, tmp_path, application, "by_hand")
    with shop.worker() as victim:
        handle = await application.workflows.insert(order())
        await shop.calls(2)
        with shop.worker():
            await shop.until_all_beat()
            victim.signal(signal.SIGKILL)

            found = await shop.incident("dead_executor", victim, count=2)
            woken = shop.command("incidents", "list", "--fail-on", "active")
            assert woken.code == 6
            assert "is gone with 2 jobs in hand" in woken.out
            assert "Missing" in shop.command("executors", "list").out

            explained = await application.explain.workflow_step(handle.id, "ask the bank")
            job_id = str(explained.job_id)
            assert [blocker.code for blocker in explained.blockers] == ["orphaned_by_missing_executor"]
            for kind, *subject in (("workflow", str(handle.id)), ("workflow", str(handle.id), STEP), ("job", job_id)):
                words = " ".join(shop.command(kind, "explain", *subject).out.split())
                assert "is marked executing, but its executor" in words

            looked = shop.command("incidents", "show", str(found.id)).out
            for_all = shop.suggested(looked, "executor_rescue_all")
            for_one = shop.suggested(looked, f"job_rescue {job_id}")
            shown = shop.preview(for_all)
            assert [(row["source"], row["before"]["state"], row["after"]["state"]) for row in shown["changes"]] == [
                ("job", "executing", "available"),
                ("job", "executing", "available"),
            ]
            assert shown["effect"]["events"] == {"retrying": 2}

            assert shop.execute(shop.preview(for_one, actor="grace"), actor="grace").code == 0
            assert (await shop.calls(3))[2][:2] == ["ask the bank", "2"]
            assert (await shop.incident("dead_executor", victim, count=1)).state == "active"

            refused = shop.execute(shown)
            assert refused.code == 5
            assert f"job {job_id} would not change any more" in refused.err
            [drifted] = shop.audited("drifted")
            assert (drifted["actor_id"], drifted["surface"], drifted["reason"]) == ("ada", "cli", WHY)
            assert len(await shop.calls(3)) == 3

            assert shop.execute(shop.preview(for_all)).code == 0
            assert (await shop.incident("dead_executor", victim)).state == "resolved"
            shop.answer()
            await shop.finishes(handle)
            assert await shop.is_audited()

    seen = await application.lifeline.get_incident(found.id)
    assert [(entry.kind, entry.actor, entry.detail.get("outcome")) for entry in seen.timeline if entry.actor] == [
        ("job_rescue", "grace", "executed"),
        ("executor_rescue_all", "ada", "drifted"),
        ("executor_rescue_all", "ada", "executed"),
    ]
    assert [entry.kind for entry in seen.timeline if entry.kind in ("left", "rescued")] == ["left"] * 2 + [
        "rescued"
    ] * 2
    acts = [record for record in shop.audited("executed") if record["action"] != "settings_change"]
    assert {record["actor_id"] for record in acts} == {"ada", "grace"}
    calls = await shop.calls(4)
    assert len({key for *_, key in calls}) == 2
    assert Counter((step, attempt) for step, attempt, *_ in calls) == Counter(itertools.product(ASKED, "12"))


async def test_with_automatic_rescue_a_killed_worker_needs_no_hands(
    dsn: str, tmp_path: Path, application: Powertools
) -> None:
    shop = Shop(dsn, tmp_path, application, "by_itself")
    with shop.worker() as victim:
        handle = await application.workflows.insert(order())
        await shop.calls(2)
        with shop.worker():
            await shop.until_all_beat()
            victim.signal(signal.SIGKILL)

            calls = await shop.calls(4)
            shop.answer()
            await shop.finishes(handle)

            missing = await shop.incident("executor_missing", victim, state="active")
            assert missing.count == 0
            with shop.worker():  # as a supervisor starts one again
                await shop.incident("executor_missing", victim, state="resolved")
                assert await shop.is_quiet()
            assert await shop.is_audited()

    assert Counter((step, attempt) for step, attempt, *_ in calls) == Counter(itertools.product(ASKED, "12"))
    rescued = shop.audited("executed")
    assert [(record["action"], record["actor_type"], record["surface"]) for record in rescued] == [
        ("job_rescue", "system", "system")
    ] * 2
