"""``manage.py powertools`` works on the database of ``DATABASES``."""

import json
import os
import re
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from oban_powertools import Workflow
from oban_powertools.integrations.django import powertools
from oban_powertools.integrations.django.management.commands.powertools import Command
from tests.support.by_hand import step

pytestmark = pytest.mark.usefixtures("migrated")
JOBS = "tests.support.django_site.jobs"


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just started."""
    for module in (JOBS, "oban_powertools.integrations.django.workers"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def test_a_group_of_commands_is_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    workflow = Workflow("bill")
    workflow.add("a", step())
    powertools.workflows.insert(workflow)

    call_command("powertools", "workflow", "list", "--output", "json")

    assert [each["name"] for each in json.loads(capsys.readouterr().out)["workflows"]] == ["bill"]


def test_from_the_shell_it_ends_with_the_code_of_powertools(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "powertools", "--settings=shop.settings", "workflow", "show", "999"])

    assert ended.value.code == 3
    assert "workflow 999 does not exist" in capsys.readouterr().err


def test_a_failure_is_djangos_error_for_whoever_calls_it() -> None:
    with pytest.raises(CommandError) as failed:
        call_command("powertools", "workflow", "show", "999")

    assert failed.value.returncode == 3


def test_the_environment_is_left_as_it_was() -> None:
    before = dict(os.environ)

    call_command("powertools", "queues", "list")

    assert dict(os.environ) == before


@pytest.mark.parametrize(("setting", "imported"), [({}, True), ({"WORKERS": []}, False), ({"WORKERS": [JOBS]}, True)])
def test_workers_are_found_by_their_modules_name_or_named(
    setting: dict[str, Any], imported: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with override_settings(OBAN_POWERTOOLS=setting):
        call_command("powertools", "check", "--queues", "default:1")

    assert (JOBS in sys.modules) is imported


@override_settings(OBAN_POWERTOOLS={"QUEUE": {}})
def test_a_setting_that_cannot_work_is_told_before_anything_runs() -> None:
    with pytest.raises(CommandError, match="a dict with 'QUEUE'"):
        call_command("powertools", "queues", "list")


def stored_workflow() -> int:
    workflow = Workflow("bill")
    workflow.add("a", step())
    return powertools.workflows.insert(workflow).id


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["workflow", "list"], "next: manage.py powertools workflow explain"),
        (["workflow", "explain", "{id}"], "next: manage.py powertools "),
        (["workflow", "show", "--help"], "  manage.py powertools workflow show 41"),
        (["workflow", "--help"], "Usage: manage.py powertools workflow"),
        (["retention", "status", "--help"], "manage.py powertools retention status"),
    ],
    ids=lambda given: given if isinstance(given, str) else " ".join(given),
)
def test_what_it_prints_to_copy_begins_with_manage_py(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = str(stored_workflow())
    with pytest.raises(SystemExit):
        Command().run_from_argv(["manage.py", "powertools", *(each.format(id=stored) for each in arguments)])

    printed = "".join(capsys.readouterr())
    assert hint in printed
    assert not re.search(r"(?<!manage\.py )powertools (workflow|start|retention)\b", printed)


def test_an_error_names_the_commands_of_manage_py_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Command().run_from_argv(["manage.py", "powertools", "workflow", "list", "--state", "stuck"])

    assert "(see manage.py powertools workflow list -h)" in capsys.readouterr().err
