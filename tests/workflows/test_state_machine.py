"""Every command, every way a job can change, time, other tools and faults of our own, in any order.

After each move all invariants hold and no outcome has changed; in the end every workflow comes to
its end. ``POWERTOOLS_EXAMPLES`` sets how many courses are tried.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.by_hand import Hand, by_hand
from tests.support.every_move import BREAKABLE, CLEAR, OUTCOMES, Moves, Outcome
from tests.support.model import ENDED
from tests.support.random_workflows import KEYS, RESULTS, WorkflowPlan, workflow_plans
from tests.support.witness import STARTABLE

EXAMPLES = int(os.environ.get("POWERTOOLS_EXAMPLES", "40"))
PICK = st.integers(0, 99)
FEW = st.lists(PICK, min_size=1, max_size=3)
ENDINGS = st.lists(st.tuples(PICK, st.sampled_from(RESULTS) | st.sampled_from(OUTCOMES)), min_size=1, max_size=3)


class AnyCourseOfEvents(RuleBasedStateMachine):
    """Calls moves; what they do and check is in ``every_move`` and ``witness``."""

    runner: asyncio.Runner
    hand: Hand

    def __init__(self) -> None:
        super().__init__()
        self.moves = Moves(self.hand)
        self.sound = True

    def make(self, move: Coroutine[Any, Any, None]) -> None:
        try:
            self.runner.run(move)
        except BaseException:
            self.sound = False
            raise

    @initialize(plans=st.lists(workflow_plans(), min_size=1, max_size=2))
    def begin(self, plans: list[WorkflowPlan]) -> None:
        self.make(self.moves.insert(plans))

    @rule(plan=workflow_plans(most=3, levels=1))
    def insert(self, plan: WorkflowPlan) -> None:
        self.make(self.moves.insert([plan]))

    @precondition(lambda self: self.startable)
    @rule(picks=FEW)
    def fetch(self, picks: list[int]) -> None:
        self.make(self.moves.fetch(picks))

    @precondition(lambda self: self.startable)
    @rule(pick=PICK, outcome=st.sampled_from(RESULTS))
    def fetch_and_complete(self, pick: int, outcome: Outcome) -> None:
        self.make(self.moves.fetch([pick]))
        self.make(self.moves.finish([(-1, outcome)]))

    @precondition(lambda self: self.moves.fetched)
    @rule(endings=ENDINGS, turbo=st.booleans())
    def finish(self, endings: list[tuple[int, Outcome]], turbo: bool) -> None:
        self.make(self.moves.finish([(-1 - pick, outcome) for pick, outcome in endings], turbo=turbo))

    @rule(pick=PICK, status=st.sampled_from(ENDED))
    def complete_from_outside(self, pick: int, status: str) -> None:
        self.make(self.moves.complete_from_outside(pick, status))

    @rule(key=st.sampled_from(KEYS), payload=st.sampled_from(RESULTS), dedupe_key=st.sampled_from([None, None, "once"]))
    def signal(self, key: str, payload: Any, dedupe_key: str | None) -> None:
        self.make(self.moves.signal(key, payload, dedupe_key=dedupe_key))

    @rule(key=st.sampled_from(KEYS), to=PICK)
    def signal_one_workflow(self, key: str, to: int) -> None:
        self.make(self.moves.signal(key, "for you", to=to))

    @precondition(lambda self: not self.moves.seen.ended)
    @rule(pick=PICK)
    def request_cancel(self, pick: int) -> None:
        self.make(self.moves.request_cancel(pick))

    @rule(pick=PICK, action=st.sampled_from(["retry", "cancel", "complete", "skip"]))
    def recover(self, pick: int, action: str) -> None:
        self.make(self.moves.recover(pick, action))

    @precondition(lambda self: self.moves.seen.failed)
    @rule(pick=PICK, action=st.sampled_from(["retry", "retry", "complete", "skip"]))
    def recover_what_failed(self, pick: int, action: str) -> None:
        self.make(self.moves.recover(pick, action, failed=True))

    @precondition(lambda self: self.moves.seen.failed)
    @rule(pick=PICK)
    def retry_all_that_failed(self, pick: int) -> None:
        self.make(self.moves.retry_all(pick))

    @rule(pick=PICK, whole=st.booleans())
    def hold(self, pick: int, whole: bool) -> None:
        self.make(self.moves.hold(pick, whole=whole))

    @precondition(lambda self: any(step["held"] for step in self.moves.seen.steps.values()))
    @rule(pick=PICK, whole=st.booleans())
    def release(self, pick: int, whole: bool) -> None:
        self.make(self.moves.release(pick, whole=whole))

    @precondition(lambda self: any(wait["deadline"] for wait in self.moves.seen.waits))
    @rule(pick=PICK, swept=st.booleans())
    def a_wait_runs_out(self, pick: int, swept: bool) -> None:
        self.make(self.moves.overdue_wait(pick))
        if swept:
            self.make(self.moves.sweep())

    @rule(pick=PICK, swept=st.booleans())
    def a_workflow_runs_out(self, pick: int, swept: bool) -> None:
        self.make(self.moves.overdue_workflow(pick))
        if swept:
            self.make(self.moves.sweep())

    @precondition(lambda self: any(step["held"] for step in self.moves.seen.steps.values()))
    @rule(pick=PICK, swept=st.booleans())
    def holds_run_out(self, pick: int, swept: bool) -> None:
        self.make(self.moves.overdue_holds(pick))
        if swept:
            self.make(self.moves.sweep())

    @rule()
    def stage(self) -> None:
        self.make(self.moves.stage())

    @rule()
    def sweep(self) -> None:
        self.make(self.moves.sweep())

    @precondition(lambda self: self.moves.seen.jobs)
    @rule(picks=FEW, by_oban=st.booleans())
    def delete_jobs(self, picks: list[int], by_oban: bool) -> None:
        self.make(self.moves.delete(picks, by_oban=by_oban))

    @precondition(lambda self: self.moves.seen.jobs)
    @rule(picks=FEW)
    def cancel_jobs(self, picks: list[int]) -> None:
        self.make(self.moves.cancel_jobs(picks))

    @precondition(lambda self: self.moves.seen.jobs)
    @rule(picks=FEW)
    def retry_jobs(self, picks: list[int]) -> None:
        self.make(self.moves.retry_jobs(picks))

    @precondition(lambda self: self.moves.seen.jobs)
    @rule()
    def rescue_jobs(self) -> None:
        self.make(self.moves.rescue_jobs())

    @precondition(lambda self: self.moves.seen.jobs)
    @rule(picks=FEW, state=st.sampled_from([*ENDED, "available", "executing"]))
    def edit_jobs(self, picks: list[int], state: str) -> None:
        self.make(self.moves.edit_jobs(picks, state))

    @precondition(lambda self: self.moves.seen.jobs)
    @rule(pick=PICK, state=st.sampled_from(ENDED))
    def forge_a_job(self, pick: int, state: str) -> None:
        self.make(self.moves.forge(pick, state))

    @rule(picks=FEW)
    def break_steps(self, picks: list[int]) -> None:
        self.make(self.moves.break_steps(picks))

    @rule()
    def mend(self) -> None:
        self.make(self.moves.mend())

    def teardown(self) -> None:
        try:
            if self.sound and self.moves.seen.workflows:
                self.make(self.moves.to_the_end())
        finally:
            self.runner.run(self.hand.rows(CLEAR))

    @property
    def startable(self) -> bool:
        return any(job["state"] in STARTABLE for job in self.moves.seen.jobs.values())


@pytest.fixture
def machine(dsn: str) -> Iterator[type[AnyCourseOfEvents]]:
    """The machine on one database for all courses; each leaves it empty."""
    with asyncio.Runner() as runner:
        context = by_hand(dsn, turbo=True)
        AnyCourseOfEvents.runner, AnyCourseOfEvents.hand = runner, runner.run(context.__aenter__())
        runner.run(AnyCourseOfEvents.hand.rows(BREAKABLE))
        yield AnyCourseOfEvents
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.timeout(60 + EXAMPLES * 2)
def test_no_course_of_events_breaks_an_invariant_or_leaves_a_workflow_in_limbo(
    machine: type[AnyCourseOfEvents],
) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=40, deadline=None, print_blob=True, suppress_health_check=checks
        ),
    )
