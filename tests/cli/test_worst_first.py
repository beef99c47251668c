"""What a list points at is its worst row, and what a word and its raw state both say is printed once."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise, product

import pytest

from oban_powertools import Workflow
from oban_powertools.cli import text
from oban_powertools.cli.next_commands import find_worst, worst_first
from oban_powertools.states import (
    ExecutorState,
    ExecutorStatus,
    IncidentState,
    IncidentStatus,
    IncidentSubstatus,
    JobState,
    OperatorStatus,
    WorkflowState,
)
from tests.support.by_hand import Hand, step
from tests.support.command import powertools
from tests.support.troubles import TROUBLES, project


@dataclass(frozen=True)
class Row:
    """Of any list."""

    status: str | None
    state: str


ORDERS = {
    "workflows": [
        Row(OperatorStatus.NEEDS_REVIEW, WorkflowState.RUNNING),
        Row(OperatorStatus.BLOCKED, WorkflowState.RUNNING),
        Row(OperatorStatus.FINISHED, WorkflowState.FAILED),
        Row(OperatorStatus.WAITING, WorkflowState.RUNNING),
        Row(OperatorStatus.RUNNING, WorkflowState.RUNNING),
        Row(OperatorStatus.FINISHED, WorkflowState.COMPLETED),
    ],
    "jobs": [
        Row(OperatorStatus.NEEDS_REVIEW, JobState.SUSPENDED),
        Row(OperatorStatus.BLOCKED, JobState.AVAILABLE),
        Row(OperatorStatus.FINISHED, JobState.DISCARDED),
        Row(OperatorStatus.WAITING, JobState.RETRYABLE),
        Row(OperatorStatus.WAITING, JobState.SCHEDULED),
        Row(OperatorStatus.RUNNABLE, JobState.AVAILABLE),
        Row(OperatorStatus.FINISHED, JobState.COMPLETED),
    ],
    "incidents": [
        Row(IncidentStatus.NEEDS_REVIEW, IncidentState.ACTIVE),
        Row(IncidentStatus.ACKNOWLEDGED, IncidentState.ACKNOWLEDGED),
        Row(IncidentStatus.MUTED, IncidentState.ACTIVE),
        Row(IncidentStatus.RESOLVED, IncidentState.RESOLVED),
    ],
    "executors": [
        Row(ExecutorStatus.MISSING, ExecutorState.MISSING),
        Row(ExecutorStatus.LATE, ExecutorState.LATE),
        Row(ExecutorStatus.HEALTHY, ExecutorState.HEALTHY),
        Row(ExecutorStatus.STOPPED, ExecutorState.STOPPED),
    ],
}
"""List -> its rows, those that need somebody soonest first."""


@pytest.mark.parametrize("name", ORDERS)
def test_of_any_two_rows_the_worse_one_is_found_whatever_their_order(name: str) -> None:
    rows = ORDERS[name]

    assert worst_first(rows[::-1]) == rows
    assert [find_worst([better, worse]) for worse, better in pairwise(rows)] == rows[:-1]


def test_every_word_has_its_place() -> None:
    words = {row.status for rows in ORDERS.values() for row in rows}

    assert words == {*OperatorStatus, *IncidentStatus, *ExecutorStatus}


def test_what_a_word_and_its_state_both_say_is_printed_once() -> None:
    pairs = [
        *product(OperatorStatus, [*WorkflowState, *JobState]),
        *product(ExecutorStatus, ExecutorState),
        *product(IncidentStatus, IncidentState),
    ]

    for word, state in pairs:
        same = word.lower() == state
        assert text.word_and_state(word, state) == (word if same else f"{word} ({state})")
    assert text.word_and_state("Resolved", IncidentState.RESOLVED, IncidentSubstatus.NEW) == "Resolved (new)"


async def run(hand: Hand, *arguments: str) -> str:
    ended = await asyncio.to_thread(powertools, *arguments, dsn=hand.dsn)
    assert ended.code == 0, ended.err
    return ended.out


async def failed_below_a_good_one(hand: Hand) -> None:
    for outcome in (RuntimeError("no"), None):
        workflow = Workflow("bill")
        workflow.add("charge", step())
        await hand.run(await hand.insert(workflow), {"charge": outcome})


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("workflow", "list"), "powertools workflow explain 1"),
        (("job", "list"), "powertools job explain 1"),
    ],
)
async def test_a_list_leads_to_what_failed_though_a_good_one_is_newer(
    hand: Hand, words: tuple[str, ...], command: str
) -> None:
    await failed_below_a_good_one(hand)

    assert f"next: {command}\n" in await run(hand, *words)


async def test_a_muted_incident_says_so_first_and_leads_nowhere_while_another_is_new(hand: Hand) -> None:
    await TROUBLES["executor_missing"].happen(hand)
    [incident, *_] = (await project(hand, **TROUBLES["executor_missing"].settings)).values()
    await run(hand, "incidents", "mute", str(incident.id), "--for", "2h", "--reason", "it is known to us")

    listed = await run(hand, "incidents", "list")
    shown = await run(hand, "incidents", "show", str(incident.id))
    record = await hand.powertools.lifeline.get_incident(incident.id)

    assert (record.status, record.state) == (IncidentStatus.MUTED, IncidentState.ACTIVE)
    assert "Muted" in listed
    assert "Muted (active, new)" in shown


async def test_a_resolved_incident_says_so_once(hand: Hand) -> None:
    trouble = TROUBLES["executor_missing"]
    await trouble.happen(hand)
    [incident, *_] = (await project(hand, **trouble.settings)).values()
    await trouble.end(hand)
    await project(hand)

    assert "Resolved (new)\n" in await run(hand, "incidents", "show", str(incident.id))
    assert "  resolved" not in await run(hand, "incidents", "list", "--state", "resolved")
