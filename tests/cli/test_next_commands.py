"""An answer ends with the command that follows, complete: copied into a shell, it does what it says."""

import asyncio
import os
import subprocess
from pathlib import Path

from oban_powertools import Workflow
from tests.support.by_hand import Hand, step
from tests.support.command import POWERTOOLS, environment, powertools
from tests.support.furnished import furnished

WHY = '"the node is gone for good"'


def commands(shown: str) -> list[str]:
    """The commands that an answer ends with."""
    return [line[len("next: ") :] for line in shown.splitlines() if line.startswith(("next: ", "  or: "))]


async def in_a_shell(command: str) -> str:
    """What a copied command prints; the reader writes the reason. No variable names a database."""
    path = f"{Path(POWERTOOLS).parent}{os.pathsep}{os.environ['PATH']}"
    ended = await asyncio.to_thread(
        subprocess.run,
        ["bash", "--norc", "-c", command.replace('"..."', WHY)],
        env={**environment(None), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_four_commands_lead_from_the_list_to_the_repair_each_copied_from_the_one_before(dsn: str) -> None:
    async with furnished(dsn) as hand:
        listed = await asyncio.to_thread(powertools, "incidents", "list", "--dsn", dsn, "--config", "/dev/null")
        [look] = [command for command in commands(listed.out) if "incidents show 1" in command]
        preview, *_ = commands(await in_a_shell(look))
        execute, *_ = commands(await in_a_shell(f"{preview} --actor 'ada lovelace'"))
        done = await in_a_shell(execute)

        assert done.startswith("done: job 6")
        assert await hand.one("SELECT state::text FROM oban_jobs WHERE id = 6") == "available"
        assert "--actor 'ada lovelace'" in execute and "--config /dev/null" in execute
        assert await hand.one(
            "SELECT actor_id FROM powertools.audit WHERE outcome = 'executed' ORDER BY id DESC LIMIT 1"
        ) == ("ada lovelace")


async def test_the_line_of_a_severe_repair_and_of_a_bulk_is_complete(dsn: str) -> None:
    async with furnished(dsn) as hand:
        cancel = await asyncio.to_thread(powertools, "repair", "preview", "workflow_cancel", "4", "--dsn", dsn)
        many = await asyncio.to_thread(powertools, "bulk", "preview", "workflow_cancel", "--id", "5", "--dsn", dsn)
        for shown in (cancel, many):
            await in_a_shell(commands(shown.out)[0])

        states = await hand.rows("SELECT state FROM powertools.workflows WHERE id IN (4, 5)")
        assert [row["state"] for row in states] == ["cancelled", "cancelled"]


async def test_a_password_of_the_command_line_is_not_in_the_command_that_follows(dsn: str) -> None:
    with_password = dsn.replace("postgres@", "postgres:s3cretword@")
    async with furnished(dsn):
        shown = await asyncio.to_thread(powertools, "incidents", "list", "--dsn", with_password)

    assert all("--dsn" in command for command in commands(shown.out))
    assert "s3cretword" not in shown.out + shown.err


async def test_what_waits_for_a_queue_leads_to_it_before_an_incident_is_open(hand: Hand) -> None:
    workflow = Workflow("mailing")
    workflow.add("s0", step(queue="mail"))
    workflow_id = await hand.insert(workflow)

    single = powertools("workflow", "explain", str(workflow_id), "s0", dsn=hand.dsn)
    whole = powertools("workflow", "explain", str(workflow_id), dsn=hand.dsn)
    queue = powertools("queues", "show", "mail", dsn=hand.dsn)

    start = "powertools start --queues mail:10  # where your workers are, with your limit and --import"
    assert commands(single.out) == [start]
    assert commands(whole.out) == [f"powertools workflow explain {workflow_id} s0"]
    assert commands(queue.out) == [start]
