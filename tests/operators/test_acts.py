"""An act is one row: policy, rules, warnings, telemetry and explanations go by it, and none has a silent default."""

from pathlib import Path

import pytest

from oban_powertools.acts import IN_BULK, REPAIRS, UNKNOWN, Action, Severity, TargetType, repairs_of
from oban_powertools.lifeline.repairs.filters import FILTERS
from oban_powertools.telemetry import WORDS
from oban_powertools.workflows.job_rules import JOB_RULES
from oban_powertools.workflows.rules import STEP_RULES, WORKFLOW_RULES
from oban_powertools.workflows.signal_rules import UNTAKEN
from tests.support.by_hand import Hand, chain
from tests.support.one_more import copy_sources, insert, run

ROW = """    STEP_TOUCH = "step_touch", _repair(TargetType.STEP, Severity.HIGH)
"""
RULE = """    Action.STEP_TOUCH: lambda workflow, step: refuse_on_ended(workflow),
"""
FUNCTION = """

async def _touch(session: Session, repair: Repair, found: Located) -> None:
    assert found.target.workflow_id is not None
    await recovery.hold(session, found.target.workflow_id, found.target.step, timedelta(hours=1), repair.reason)
"""
DOES = """    Action.STEP_TOUCH: lambda _, session, repair, found: _touch(session, repair, found),
"""

PROGRAM = """
import asyncio, json, sys
from psycopg import AsyncConnection
from oban import telemetry
from oban_powertools import Action, permissions_policy
from oban_powertools.acts import IN_BULK, REPAIRS
from oban_powertools.calls import open_calls
from oban_powertools.cli.main import powertools
from oban_powertools.telemetry import WORDS, Name

WHO = {"id": "ada", "permissions": ["preview_repair", "execute_repair"]}
told = []

async def main(dsn, workflow_id):
    telemetry.attach("told", [str(Name.COMMAND)], lambda name, fields: told.append(fields))
    async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
        async with open_calls(conn, authorize=permissions_policy()) as calls:
            explained = await calls.explain.workflow_step(workflow_id, "s0")
            shown = await calls.lifeline.preview_repair(
                WHO, action="step_touch", target_type="step", target_id=f"{workflow_id}/s0"
            )
            await calls.lifeline.execute_repair(WHO, shown.preview_token, "because of a test")
            commands = await calls.workflows.commands(workflow_id)
            records = await calls.audit.list()
    print(json.dumps({
        "explained": "step_touch" in [action.name for action in explained.legal_actions],
        "severity": shown.severity, "legal": "step_touch" in shown.legal, "told": told,
        "words": "step_touch" in WORDS["action"], "bulk": "step_touch" in IN_BULK,
        "commands": [command["action"] for command in commands], "records": [record.action for record in records],
    }))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def with_one_act_more(tmp_path: Path) -> Path:
    """The sources with a row, a rule and a function more."""
    copy = copy_sources(tmp_path)
    insert(copy / "acts.py", ROW, "    STEP_RELEASE = ")
    insert(copy / "workflows/rules.py", RULE, "    Action.STEP_RELEASE: ")
    actions = copy / "lifeline/repairs/actions.py"
    insert(actions, DOES, "    Action.STEP_RELEASE: ")
    actions.write_text(actions.read_text() + FUNCTION)
    return tmp_path


async def test_an_act_is_one_row_its_rule_and_its_function(hand: Hand, with_one_act_more: Path) -> None:
    workflow_id = await hand.insert(chain(1))

    found = run(PROGRAM, with_one_act_more, hand.dsn, str(workflow_id))

    assert (found["explained"], found["legal"], found["severity"]) == (True, True, "high")
    assert (found["words"], found["bulk"]) == (True, True)
    assert found["commands"] == ["step_touch"]
    assert found["records"] == ["step_touch"]
    assert found["told"] == [
        {"action": "preview_repair", "outcome": "accepted"},
        {"action": "step_touch", "outcome": "accepted"},
    ]
    assert (await hand.steps(workflow_id))["s0"].held_until is not None


def test_every_repair_has_its_rule() -> None:
    assert set(STEP_RULES) == set(repairs_of(TargetType.STEP))
    assert set(WORKFLOW_RULES) == set(repairs_of(TargetType.WORKFLOW))
    assert set(UNTAKEN) == set(repairs_of(TargetType.SIGNAL))
    assert set(JOB_RULES) == {*repairs_of(TargetType.JOB), *repairs_of(TargetType.CALLBACK)}


def test_every_repair_has_one_target_and_needs_a_reason() -> None:
    assert [act for act in REPAIRS if len(act.row.targets) != 1 or not act.row.needs_reason] == []


def test_a_bulk_repair_has_a_filter_for_each_of_its_targets() -> None:
    assert {act.row.targets[0] for act in IN_BULK} == set(FILTERS)


def test_telemetry_knows_every_act_and_one_word_for_those_that_are_none() -> None:
    assert WORDS["action"] == {*(act.value for act in Action), UNKNOWN}


def test_what_does_severe_harm_by_mistake_is_a_repair_of_many_a_whole_workflow_or_the_records() -> None:
    severe = {act for act in Action if act.row.severity is Severity.SEVERE}

    assert severe == {Action.WORKFLOW_CANCEL, Action.EXECUTE_BULK, Action.ARCHIVE_PRUNE}
