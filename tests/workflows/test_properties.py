"""Whatever happens to the jobs, settle does what the model says (property/P2, P4, P6 to P9, property/P24 to P26)."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings

from tests.support.by_hand import by_hand
from tests.support.random_plays import PLAYS, Blind, Break, Complete, Ending, Finish, Mend, Play, StepPlan, Sweep
from tests.support.stage import Stage

EXAMPLES = int(os.environ.get("POWERTOOLS_EXAMPLES", "120"))
"""Set it to thousands after a change to settle."""

A_CONTINUE_EDGE_HANDLES_A_FAILURE_TWO_CANCELLED_STEPS_ABOVE = Play(
    graphs=((StepPlan(), StepPlan(((0, "cancel"),)), StepPlan(((1, "cancel"),)), StepPlan(((2, "continue"),))),),
    moves=(Finish(((0, Ending("discarded", "boom")),)),),
)
A_SWEEP_COMES_WHILE_A_STEP_STILL_CANNOT_BE_SETTLED = Play(
    graphs=((StepPlan(), StepPlan(((0, "cancel"),))),),
    moves=(Break((0,)), Finish(((0, Ending("completed", (None,))),)), Sweep(), Sweep(), Mend(), Sweep()),
)
A_STEP_IS_COMPLETED_FROM_OUTSIDE_WHILE_NO_TRIGGER_SEES_IT = Play(
    graphs=((StepPlan(),),), moves=(Blind(True), Complete(0, Ending("completed", ([],))))
)


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    """One database for all plays; each leaves it empty."""
    with asyncio.Runner() as runner:
        context = by_hand(dsn, turbo=True)
        hand = runner.run(context.__aenter__())
        stage = Stage(runner, hand)
        runner.run(stage.build())
        yield stage
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.timeout(300)
@given(play=PLAYS)
@example(A_CONTINUE_EDGE_HANDLES_A_FAILURE_TWO_CANCELLED_STEPS_ABOVE)
@example(A_SWEEP_COMES_WHILE_A_STEP_STILL_CANNOT_BE_SETTLED)
@example(A_STEP_IS_COMPLETED_FROM_OUTSIDE_WHILE_NO_TRIGGER_SEES_IT)
@settings(
    max_examples=EXAMPLES, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_settle_does_what_the_model_says(stage: Stage, play: Play) -> None:
    stage.perform(play)
