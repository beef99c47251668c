"""What counts as a failure of a worker, and what does not: ends of executors, and what operators do."""

from typing import Any

import pytest

from oban_powertools import Incident
from tests.support.by_hand import Hand
from tests.support.executing import beat, rescue, silent, take, watching
from tests.support.troubles import ADA, fail, plain, project

SCRIPTED = "tests.support.by_hand.Scripted"


async def failing(hand: Hand) -> dict[str, Incident]:
    projected = await project(hand)
    return {name: one for name, one in projected.items() if one.incident_class == "failing_jobs"}


async def killed_with(hand: Hand, **options: Any) -> None:
    """Five jobs ended with their executor."""
    await beat(hand, "p1")
    for _ in range(5):
        await take(hand, await plain(hand, **options), "p1")
    await silent(hand, "p1", 60)
    await watching(hand, 60)
    await rescue(hand)


async def test_jobs_that_ended_with_their_executor_are_told_as_that(hand: Hand) -> None:
    await killed_with(hand, max_attempts=1)

    [incident] = (await failing(hand)).values()

    assert incident.fingerprint == f"failing_jobs:{SCRIPTED}:Rescued"
    assert incident.title == f"5 jobs of {SCRIPTED} ended with their executors, and do not run again"
    assert "error_class" not in incident.evidence
    shown = await hand.powertools.lifeline.get_incident(incident.id)
    assert shown.diagnosis is not None
    assert not [fact.sentence for fact in shown.diagnosis.saw if "Rescued" in fact.sentence]


async def test_jobs_that_run_again_after_their_executor_died_are_no_failures(hand: Hand) -> None:
    await killed_with(hand, max_attempts=3)
    await hand.rows("UPDATE oban_jobs SET state = 'retryable', scheduled_at = now() + interval '1 min'")

    assert await failing(hand) == {}


async def test_jobs_that_an_operator_discarded_are_no_failures(hand: Hand) -> None:
    for _ in range(5):
        job_id = await plain(hand)
        preview = await hand.powertools.lifeline.preview_repair(
            "ada", action="job_discard", target_type="job", target_id=job_id
        )
        await hand.powertools.lifeline.execute_repair("ada", preview.preview_token or "", ADA["reason"])

    assert await failing(hand) == {}


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("Rescued")])
async def test_what_a_worker_raised_is_named_by_its_class(hand: Hand, error: Exception) -> None:
    await fail(hand, *[await plain(hand) for _ in range(5)], error=error)

    [incident] = (await failing(hand)).values()

    assert incident.title == f"5 jobs of {SCRIPTED} failed with {type(error).__name__}"
