"""Whatever has happened to a workflow: what is called legal, its preview accepts, and it changes something.

Rules: property/P34. ``POWERTOOLS_EXAMPLES`` sets how many courses are tried.
"""

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from oban_powertools.acts import REPAIRS, Action, TargetType
from oban_powertools.explain import ExplainedAction, JobExplanation, StepExplanation, WorkflowExplanation
from oban_powertools.lifeline.repairs import RepairPreview
from oban_powertools.states import JobId, WorkflowId
from tests.support.by_hand import Hand, by_hand
from tests.support.every_move import BREAKABLE
from tests.workflows import test_state_machine

EXAMPLES = int(os.environ.get("POWERTOOLS_EXAMPLES", "40")) // 4
AN_HOUR = timedelta(hours=1)
LEGAL_NOW = "; legal now: "


class AnyTimeIsGood(test_state_machine.AnyCourseOfEvents):
    """Looks at what is suggested, at any time."""

    @precondition(lambda self: self.moves.seen.steps)
    @rule(pick=test_state_machine.PICK)
    def try_what_is_suggested(self, pick: int) -> None:
        places = list(self.moves.seen.steps)
        workflow_id, position = places[pick % len(places)]
        self.make(self.moves.mend())
        self.make(try_all(self.hand, WorkflowId(workflow_id), self.moves.seen.steps[workflow_id, position]["name"]))
        self.make(self.moves.take_over_commands())


async def try_all(hand: Hand, workflow_id: WorkflowId, step: str) -> None:
    """Preview what is called legal on a workflow, a step of it, and its job."""
    explain = hand.powertools.explain
    whole = await explain.workflow(workflow_id)
    of_step = await explain.workflow_step(workflow_id, step)
    await try_legal(hand, whole, TargetType.WORKFLOW, str(workflow_id))
    await try_legal(hand, of_step, TargetType.STEP, f"{workflow_id}/{step}", of_step.job_id)
    for row in await hand.rows("SELECT id FROM oban_jobs WHERE id = %s", of_step.job_id):
        of_job = await explain.job(JobId(row["id"]))
        await try_legal(hand, of_job, TargetType.STEP, f"{of_job.workflow_id}/{of_job.step}", row["id"])


async def try_legal(
    hand: Hand,
    explanation: WorkflowExplanation | StepExplanation | JobExplanation,
    target_type: TargetType,
    target_id: str,
    job_id: int | None = None,
) -> None:
    names = {action.name for action in explanation.legal_actions}
    for name in names & set(REPAIRS):
        action = Action(name)
        of_job = action.row.targets[0] is TargetType.JOB
        preview = await hand.powertools.lifeline.preview_repair(
            "ada",
            action=name,
            target_type="job" if of_job else str(target_type),
            target_id=str(job_id) if of_job else target_id,
            hold_for=AN_HOUR if name in ("step_hold", "workflow_hold") else None,
        )
        assert preview.total_changes or tells_a_job(preview), f"{name} {target_id} changes nothing"
        assert name in preview.legal
    for refused in explanation.illegal_actions:
        assert named_as_legal(refused) <= names, f"{refused.reason} beside {names}"


def tells_a_job(preview: RepairPreview) -> bool:
    """An executing job of no step is told to stop by a message, which no row says."""
    return any("told to stop" in warning for warning in preview.warnings)


def named_as_legal(refused: ExplainedAction) -> set[str]:
    """The acts on a step that a refusal names instead."""
    _, _, named = str(refused.reason).partition(LEGAL_NOW)
    return {f"step_{word}" for word in named.split(", ") if word}


@pytest.fixture
def machine(dsn: str) -> Iterator[type[AnyTimeIsGood]]:
    with asyncio.Runner() as runner:
        context: Any = by_hand(dsn, turbo=True)
        AnyTimeIsGood.runner, AnyTimeIsGood.hand = runner, runner.run(context.__aenter__())
        runner.run(AnyTimeIsGood.hand.rows(BREAKABLE))
        yield AnyTimeIsGood
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.timeout(120 + EXAMPLES * 8)
def test_what_is_called_legal_is_accepted_and_changes_something_whatever_has_happened(
    machine: type[AnyTimeIsGood],
) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=40, deadline=None, print_blob=True, suppress_health_check=checks
        ),
    )
