"""Plans of repairs, without a database: their hash is of every row, and so is what has drifted."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.lifeline.repairs.drift import find_drift
from oban_powertools.lifeline.repairs.plan import MOST_STORED, Plan, RowKey, make_plan
from oban_powertools.lifeline.repairs.rehearsal import find_existing

SUBJECT = {"action": "workflow_hold", "target": ["workflow", "41"], "arguments": {}, "incident": None}
ROW = {
    "workflow_id": 41,
    "position": 0,
    "name": "s",
    "state": "pending",
    "pending": 1,
    "generation": 1,
    "job_id": None,
    "attempt": 0,
    "cause": None,
    "held_until": None,
    "effects": "ask",
}
MANY = MOST_STORED + 200


def rows(number: int, **more: Any) -> dict[RowKey, dict[str, Any]]:
    """So many steps of one workflow."""
    return {("step", f"41/{n:04}"): {**ROW, "position": n, **more} for n in range(number)}


def written(given: Mapping[RowKey, Mapping[str, Any]]) -> dict[RowKey, str]:
    return {key: json.dumps(row) for key, row in given.items()}


def plan(before: Mapping[RowKey, Mapping[str, Any]], after: Mapping[RowKey, Mapping[str, Any]]) -> Plan:
    return make_plan(SUBJECT, written(before), written(after), {})


def cancelled(before: Mapping[RowKey, Mapping[str, Any]]) -> dict[RowKey, dict[str, Any]]:
    return {key: {**row, "state": "cancelled"} for key, row in before.items()}


@given(place=st.integers(0, 4), column=st.sampled_from(sorted(set(ROW) - {"position"})), value=st.integers(0, 9))
def test_whatever_differs_in_a_row_gives_another_hash(place: int, column: str, value: Any) -> None:
    before = rows(5)
    changed = {**before, ("step", f"41/{place:04}"): {**before["step", f"41/{place:04}"], column: value}}
    same = changed == before

    one, other = plan(before, cancelled(before)), plan(changed, cancelled(changed))

    assert (one.hash == other.hash) is same
    assert (find_drift(one.changes, one.written, other) == []) is same


def test_the_order_in_which_rows_are_read_does_not_matter() -> None:
    before = rows(5)
    backwards = dict(reversed(before.items()))

    assert plan(before, cancelled(before)) == plan(backwards, cancelled(backwards))


def test_a_row_that_is_written_as_it_is_is_no_change_and_is_known() -> None:
    before = rows(2)
    after = {**before, ("step", "41/0000"): {**before["step", "41/0000"], "state": "cancelled"}}

    found = plan(before, after)

    assert [change.id for change in found.changes] == ["41/0000"]
    assert found.total == 1
    assert found.written["step"]["41/0001"] is None
    assert find_existing(found.written) == [("step", "41/0000"), ("step", "41/0001")]


def test_a_plan_keeps_the_first_thousand_rows_and_a_checksum_of_each() -> None:
    before = rows(MANY)

    found = plan(before, cancelled(before))

    assert (found.total, len(found.changes), len(found.written["step"])) == (MANY, MOST_STORED, MANY)


def test_rows_that_were_not_shown_are_named_when_they_differ() -> None:
    before = rows(MANY)
    last = ("step", f"41/{MANY - 1}")
    changed = {**before, last: {**before[last], "attempt": 7}}
    shown = plan(before, cancelled(before))

    differs = find_drift(shown.changes, shown.written, plan(changed, cancelled(changed)))
    fewer = find_drift(shown.changes, shown.written, plan(rows(MANY - 1), cancelled(rows(MANY - 1))))
    more = find_drift(shown.changes, shown.written, plan(rows(MANY + 1), cancelled(rows(MANY + 1))))

    assert differs == [f"step 41/{MANY - 1} was, or would become, something else"]
    assert fewer == [f"step 41/{MANY - 1} would not change any more"]
    assert more == [f"step 41/{MANY} would change too"]


def test_a_row_at_the_front_that_is_new_moves_nothing_out_of_sight() -> None:
    before = rows(MANY)
    added = {("step", "40/0000"): {**ROW, "workflow_id": 40}, **before}
    shown = plan(before, cancelled(before))

    assert find_drift(shown.changes, shown.written, plan(added, cancelled(added))) == ["step 40/s would change too"]
