"""The reference pages about what is broken name everything there is, and nothing that is none."""

import dataclasses
import re
from pathlib import Path

import pytest

from oban_powertools import IncidentClass, IncidentState, IncidentSubstatus
from oban_powertools.acts import REPAIRS
from oban_powertools.lifeline.repairs import Bulk, BulkItem, BulkPreview, Effect, RepairDone, RepairPreview
from oban_powertools.lifeline.repairs.filters import FILTERS
from oban_powertools.upkeep.doctor.doctor import _PLAIN

ROOT = Path(__file__).parents[2]
EXECUTORS = (ROOT / "src/oban_powertools/database/sql/migrations/0015_executors.sql").read_text()


def _section(page: str, heading: str) -> str:
    text = (ROOT / "docs/reference" / f"{page}.md").read_text()
    [own] = re.findall(rf"^##+ {re.escape(heading)}\n((?:(?!^#+ ).*\n)*)", text, re.MULTILINE)
    return own


def _words(text: str) -> set[str]:
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)}


def _rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the rows of a section's tables that begin with a name."""
    lines = re.findall(r"^\| (`.+) \|$", _section(page, heading), re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_every_class_of_incident_has_a_row_with_its_end() -> None:
    rows = _rows("incidents", "Classes")

    assert {name for row in rows for name in _words(row[0])} == {*IncidentClass}
    assert [row[0] for row in rows if len(row) != 4 or not row[3]] == []


def test_every_state_of_an_incident_is_told() -> None:
    assert {*IncidentState, *IncidentSubstatus} <= _words(_section("incidents", "States"))


def test_every_repair_has_a_row_with_its_target() -> None:
    named = {
        (action, target)
        for row in _rows("repairs", "Repairs")
        for action in _words(row[0])
        for target in _words(row[1])
    }

    assert named == {(action.value, action.row.targets[0].value) for action in REPAIRS}


@pytest.mark.parametrize("record", [RepairPreview, RepairDone, BulkPreview, Bulk])
def test_every_field_of_a_repair_is_told(record: type[RepairPreview | RepairDone | BulkPreview | Bulk]) -> None:
    fields = {field.name for field in dataclasses.fields(record)}
    parts = {RepairPreview: Effect, Bulk: BulkItem}
    fields |= {field.name for field in dataclasses.fields(parts[record])} if record in parts else set()

    assert fields - _words(_section("repairs", record.__name__)) == set()


def test_every_filter_of_a_bulk_repair_is_told() -> None:
    rows = {
        (target, name)
        for row in _rows("repairs", "Bulk repairs")
        for target in _words(row[0])
        for name in _words(row[1])
    }

    assert rows == {(target.value, name) for target, (_, names) in FILTERS.items() for name in names}


@pytest.mark.parametrize(
    ("heading", "constraint"), [("Rescue", "rescue_why"), ("What becomes of a job", "rescue_action")]
)
def test_every_reason_and_every_end_of_a_rescue_is_told(heading: str, constraint: str) -> None:
    [allowed] = re.findall(rf"CONSTRAINT {constraint} CHECK \(\w+ IN \((.*)\)\)", EXECUTORS)

    assert {row[0].strip("`") for row in _rows("lifeline", heading)} == set(re.findall(r"'(\w+)'", allowed))


def test_every_check_of_the_doctor_has_a_row() -> None:
    headings = ("Checks of the schema", "Checks of the data", "Checks of the set-up")
    named = {name for heading in headings for row in _rows("doctor", heading) for name in _words(row[0])}

    assert named == {*_PLAIN, "schema", "invariants"}
