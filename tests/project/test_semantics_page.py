"""``docs/reference/semantics.md`` and the code say the same, and every row is proved by a test that exists."""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from oban_powertools import errors
from oban_powertools.explain import BlockerCode
from oban_powertools.states import Cause, Policy, RecoveryAction, SignalStatus, StepState, WorkflowState

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reference" / "semantics.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))


def refusals() -> set[str]:
    """The codes that a command on a workflow may be refused with; those of base classes and of other calls are none."""
    others = {errors.repairs.__name__, errors.incidents.__name__}
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ not in others]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.CommandRefusedError | errors.NotFoundError)}
    elsewhere = {"job_not_found", "webhook_not_found", "webhook_delivery_not_found", "unpublishable_change"}
    return codes - {"command_refused", "not_found", "audit_record_not_found"} - elsewhere


def rows(section: str) -> list[list[str]]:
    """The rows of a section's table, cells without their bars."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def words(cells: Iterable[str]) -> set[str]:
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("Causes", set(Cause)),
        ("Signals", set(SignalStatus)),
        ("Recovery", set(RecoveryAction)),
        ("Refused commands", refusals()),
        ("Blockers", set(BlockerCode)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_names_all_there_are_and_no_other(section: str, expected: set[str]) -> None:
    assert words(row[0] for row in rows(section)) == expected


def test_every_state_of_a_step_has_a_transition_that_leads_to_it() -> None:
    assert words(row[1] for row in rows("Transitions of a step")) == set(StepState)


def test_every_state_of_a_workflow_and_every_policy_has_its_place() -> None:
    ends = SECTIONS["End of a workflow"]
    [header] = re.findall(r"^\| The parent \|.*$", SECTIONS["Edge policies"], re.MULTILINE)

    assert {state for state in WorkflowState if f"`{state}`" not in ends} == set()
    assert words([header]) == set(Policy)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_is_proved_by_a_test(section: str) -> None:
    assert [row for row in rows(section) if not re.fullmatch(r"`test_\w+`", row[-1].strip("| "))] == []


def test_every_test_that_is_named_exists() -> None:
    there = {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())}

    assert set(re.findall(r"`(test_\w+)`", PAGE)) - there == set()
