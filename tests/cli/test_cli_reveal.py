"""``job reveal`` and ``workflow reveal``."""

import asyncio
import json
from pathlib import Path

from oban import Job

from oban_powertools import Workflow
from oban_powertools.cli.exits import Exit
from tests.support.by_hand import Hand
from tests.support.command import Ended, powertools

SECRET = {"password": "velvet", "order": 7}
WHY = ("--reason", "ticket 5512 of the bank", "--actor", "ada")


async def run(hand: Hand, *arguments: str) -> Ended:
    return await asyncio.to_thread(powertools, *arguments, dsn=hand.dsn)


async def a_step(hand: Hand) -> tuple[str, str]:
    workflow = Workflow("leaky", context=SECRET)
    workflow.add("done", Job("tests.support.by_hand.Scripted", args=SECRET, max_attempts=1))
    workflow_id = await hand.insert(workflow)
    job = await hand.job(workflow_id, "done")
    await hand.run(workflow_id, {"done": ValueError("password=velvet \x1b[31mred")})
    return str(workflow_id), str(job.id)


async def test_the_value_alone_is_on_stdout_and_its_record_on_stderr(hand: Hand) -> None:
    workflow_id, job_id = await a_step(hand)

    of_job = await run(hand, "job", "reveal", job_id, "--what", "args", *WHY)
    of_workflow = await run(hand, "workflow", "reveal", workflow_id, "--what", "context", *WHY)

    assert (of_job.code, json.loads(of_job.out)) == (0, SECRET)
    assert (of_workflow.code, json.loads(of_workflow.out)) == (0, SECRET)
    last, first = await hand.powertools.audit.list(action="reveal_value")
    assert of_job.err == f"args of job {job_id}; recorded: powertools audit show {first.id}\n"
    assert (last.actor_id, last.surface, last.reason) == ("ada", "cli", WHY[1])


async def test_an_error_is_printed_as_text_without_control_characters(hand: Hand) -> None:
    _, job_id = await a_step(hand)

    ended = await run(hand, "job", "reveal", job_id, "--what", "error", *WHY)

    assert "ValueError: password=velvet " in ended.out
    assert "\x1b" not in ended.out


async def test_a_policy_that_refuses_leaves_stdout_empty(hand: Hand, tmp_path: Path) -> None:
    _, job_id = await a_step(hand)
    (tmp_path / "policies.py").write_text("def nobody(actor, action, target):\n    return False\n")

    ended = await asyncio.to_thread(
        powertools,
        *("job", "reveal", job_id, "--what", "args", "--authorize", "policies:nobody", *WHY),
        dsn=hand.dsn,
        cwd=tmp_path,
    )

    assert (ended.code, ended.out) == (Exit.NOT_AUTHORISED, "")
    assert "velvet" not in ended.err


async def test_it_needs_a_reason(hand: Hand) -> None:
    _, job_id = await a_step(hand)

    ended = await run(hand, "job", "reveal", job_id, "--what", "args")

    assert (ended.code, ended.out) == (2, "")
