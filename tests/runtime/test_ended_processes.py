"""A job that ends its process again and again is quarantined, however that ends; who was merely there runs again."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from oban import Job

from oban_powertools import IncidentClass
from tests.support.by_hand import Hand, step
from tests.support.command import environment
from tests.support.executing import beat, die, job, rescue, rescues, stop, take, watching
from tests.support.ledger import eventually
from tests.support.troubles import project

HOST = """
import asyncio, sys
from datetime import timedelta
from oban_powertools import Powertools, Settings

async def main():
    quick = Settings(executor_gone_after=timedelta(seconds=2), sweep_every=timedelta(seconds=0.2))
    async with Powertools.open(queues={"default": 5}, settings=quick):
        await asyncio.Event().wait()

asyncio.run(main())
"""

ENDERS = """
import asyncio, os, sys

class Leaves:
    '''Ends its process from a task of its own, once its neighbour has started.'''

    async def process(self, job):
        await asyncio.sleep(0.5)
        asyncio.get_running_loop().call_soon(sys.exit, 0)
        await asyncio.sleep(60)

class Exits:
    async def process(self, job):
        await asyncio.sleep(0.5)
        os._exit(0)

class Neighbour:
    async def process(self, job):
        await asyncio.sleep(1)
"""


async def inserted(hand: Hand, **options: Any) -> int:
    [found] = await hand.oban.enqueue_many(step(**options))
    assert found.id is not None
    return found.id


async def test_what_an_ended_process_had_in_hand_runs_again_also_without_an_attempt_left(hand: Hand) -> None:
    job_id = await inserted(hand, max_attempts=1)
    await take(hand, job_id, "p1")
    await beat(hand, "p1")
    await stop(hand, "p1", abrupt=True)

    await rescue(hand)

    found = await job(hand, job_id)
    assert (found["state"], found["attempt"], found["max_attempts"]) == ("available", 1, 2)
    assert "the process of executor app:oban:default:node-a:p1 ended while it ran" in found["errors"][0]["error"]
    assert await rescues(hand) == [("ended", "retried", 1)]


async def test_the_third_process_that_ends_or_dies_under_a_job_quarantines_it_and_not_its_neighbour(hand: Hand) -> None:
    killer = neighbour = await inserted(hand, max_attempts=1)
    for number in range(3):
        neighbour = await inserted(hand, max_attempts=1)
        for job_id in (killer, neighbour):
            await take(hand, job_id, f"p{number}")
        await beat(hand, f"p{number}")
        await stop(hand, f"p{number}", abrupt=True)
        await rescue(hand)

    assert [(await job(hand, job_id))["state"] for job_id in (killer, neighbour)] == ["suspended", "available"]
    assert [incident.incident_class for incident in (await project(hand)).values()] == [IncidentClass.POISON_JOB]


async def test_deaths_and_ends_count_together(hand: Hand) -> None:
    killer = await inserted(hand, max_attempts=9)
    for number, ends in enumerate([True, False, True]):
        await take(hand, killer, f"p{number}")
        await beat(hand, f"p{number}")
        await (stop(hand, f"p{number}", abrupt=True) if ends else die(hand, f"p{number}"))
        await watching(hand, 60)
        await rescue(hand)

    assert await rescues(hand) == [("ended", "retried", 1), ("gone", "retried", 2), ("ended", "quarantined", 3)]


@pytest.mark.parametrize(("hours", "state"), [(0, "suspended"), (1, "available")])
async def test_the_tenth_stop_within_an_hour_quarantines_a_job_and_a_tenth_deploy_does_not(
    hand: Hand, hours: int, state: str
) -> None:
    job_id = await inserted(hand, max_attempts=1)
    for number in range(10):
        await take(hand, job_id, f"p{number}")
        await beat(hand, f"p{number}")
        await stop(hand, f"p{number}")
        await rescue(hand)
        await hand.rows("UPDATE powertools.rescues SET at = at - make_interval(hours => %s)", hours)

    assert (await job(hand, job_id))["state"] == state


@pytest.mark.parametrize("worker", ["Leaves", "Exits"])
async def test_a_worker_that_ends_its_process_in_any_way_is_quarantined_once_it_did_so_alone(
    hand: Hand, tmp_path: Path, worker: str
) -> None:
    (tmp_path / "host.py").write_text(HOST)
    (tmp_path / "enders.py").write_text(ENDERS)
    await hand.oban.enqueue_many(Job(f"enders.{worker}", max_attempts=9))
    await hand.oban.enqueue_many(Job("enders.Neighbour", max_attempts=9))
    ended = 0

    async def settled() -> bool:
        nonlocal process, ended
        if process.poll() is not None:
            ended += 1
            process = start(tmp_path, hand)
        rows = await hand.rows("SELECT state::text FROM oban_jobs ORDER BY id")
        return [row["state"] for row in rows] == ["suspended", "completed"]

    process = start(tmp_path, hand)
    try:
        await eventually(settled, within=90)
    finally:
        process.kill()
        process.wait()

    assert ended == 4


def start(directory: Path, hand: Hand) -> "subprocess.Popen[bytes]":
    env: Mapping[str, str] = environment(hand.dsn)
    return subprocess.Popen([sys.executable, "host.py"], cwd=directory, env=env, stderr=subprocess.DEVNULL)
