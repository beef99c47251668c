"""What was mistyped ends with 2 in every command, whatever the database holds: in a sentence, or in a line of JSON."""

import json
import re
from collections.abc import Iterator

import click
import pytest

from oban_powertools.cli.exits import Exit
from oban_powertools.cli.main import powertools as root
from oban_powertools.cli.reporting import find_exit_code
from oban_powertools.errors import BulkMatchesNothingError
from tests.cli.test_cli_arguments import arguments
from tests.cli.test_cli_reference import COMMANDS
from tests.support.by_hand import Hand, chain
from tests.support.command import Ended, powertools

WHY = ("--reason", "because of a test")
PYTHON = re.compile(r"\w\(|\b(workflows|lifeline|events|audit|queues|jobs|powertools)\.\w|\bsubscribe\b|\w=")
"""What a program would write."""

MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "an act": (("repair", "preview", "step_rety", "1/s0"), "did you mean 'step_retry'"),
    "an act in bulk": (("bulk", "preview", "step_rety", "--id", "1/s0"), "did you mean 'step_retry'"),
    "a target": (("repair", "preview", "step_retry", "seven"), "seven"),
    "a target in bulk": (("bulk", "preview", "job_retry", "--id", "seven"), "seven"),
    "a target of another type": (("bulk", "preview", "job_retry", "--id", "1/s0"), "1/s0"),
    "an argument that is missing": (("repair", "preview", "workflow_hold", "1"), "hold_for"),
    "no filter": (("bulk", "preview", "job_retry"), "--incident"),
    "a filter of other targets": (("bulk", "preview", "job_retry", "--step", "s0"), "--step"),
    "a state in bulk": (("bulk", "preview", "job_retry", "--state", "discardd"), "did you mean 'discarded'"),
    "a reason that is short": (("workflow", "hold", "1", "--for", "1h", "--reason", "x"), "8"),
    "a reason that is empty": (("workflow", "hold", "1", "--for", "1h", "--reason", ""), "say why"),
    "an actor that is reserved": (
        ("workflow", "hold", "1", "--for", "1h", "--actor", "system", *WHY),
        "use another id",
    ),
    "an actor that is empty": (("workflow", "hold", "1", "--for", "1h", "--actor", "", *WHY), "needs an actor"),
    "a recovery": (("workflow", "recover", "1", "--action", "rety", *WHY), "retry"),
    "an act of the audit": (("audit", "list", "--action", "step_rety"), "did you mean 'step_retry'"),
    "an act of Powertools": (("audit", "list", "--action", "wait_expires"), "did you mean 'wait_expire'"),
    "a target of the audit": (("audit", "list", "--target", "worflow:1"), "did you mean 'workflow'"),
    "a word": (("workflow", "list", "--status", "Bloked"), "'blocked'"),
    "a state": (("job", "list", "--state", "discardd"), "discarded"),
    "a number": (("settings", "set", "incident_failing_count", "many", *WHY), "'many' is not a whole number"),
    "a span": (("settings", "set", "incident_stuck_after", "many", *WHY), "90s, 30m, 2h or 1d"),
    "a number that is too small": (("settings", "set", "incident_failing_count", "0", *WHY), "1"),
    "a setting": (("settings", "set", "incident_stuck", "1h", *WHY), "incident_stuck_after"),
    "a cursor": (("events", "tail", "--since", "many"), "whole numbers"),
    "a topic": (("events", "tail", "--topic", "incidents:all"), "incident:all"),
    "a type of event": (("webhooks", "add", "https://x.example", "--type", "incident.opend", *WHY), "incident.opened"),
    "a limit": (("queue", "scale", "default", "0", *WHY), "1"),
    "a span of a mute": (("incidents", "mute", "1", "--for", "soon", *WHY), "90s, 30m, 2h or 1d"),
    "no confirmation": (("workflow", "cancel", "1", *WHY), "--yes"),
}
"""What is mistyped -> the command, and what the sentence has to say."""


@pytest.fixture
async def stored(hand: Hand) -> Hand:
    """A workflow that no mistake may change."""
    await hand.insert(chain(1))
    return hand


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_usage_and_says_what_was_meant(stored: Hand, mistake: str) -> None:
    words, told = MISTAKES[mistake]

    ended = powertools(*words, dsn=stored.dsn)

    assert (ended.code, ended.out) == (2, "")
    assert told in ended.error
    assert not PYTHON.search(ended.error.replace("--", ""))


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_program_gets_the_same_as_one_line_of_json(stored: Hand, mistake: str) -> None:
    words, told = MISTAKES[mistake]

    ended = powertools(*words, "--json", dsn=stored.dsn)

    assert (ended.code, ended.out) == (2, "")
    assert told in json.loads(ended.err)["error"]["message"]


# What nobody confirmed


def executed(hand: Hand, group: str, *words: str, confirm: str | None) -> Ended:
    preview = powertools(group, "preview", *words, "--json", dsn=hand.dsn).json
    token = preview["preview" if group == "repair" else "bulk"]["preview_token"]
    return powertools(group, "execute", token, *WHY, *(["--confirm", confirm] if confirm else []), dsn=hand.dsn)


@pytest.mark.parametrize("confirm", [None, "4711"])
async def test_a_severe_repair_that_is_not_confirmed_is_a_mistake(stored: Hand, confirm: str | None) -> None:
    [workflow] = await stored.workflows.list()

    ended = executed(stored, "repair", "workflow_cancel", str(workflow.id), confirm=confirm)

    assert (ended.code, f"--confirm {workflow.id}" in ended.error) == (2, True)
    assert (await stored.workflow(workflow.id)).state == "running"


@pytest.mark.parametrize("confirm", [None, "4711"])
async def test_a_large_bulk_that_is_not_confirmed_is_a_mistake(stored: Hand, confirm: str | None) -> None:
    await stored.rows("INSERT INTO oban_jobs (worker, queue) SELECT 'app.Work', 'mass' FROM generate_series(1, 101)")

    ended = executed(stored, "bulk", "job_discard", "--queue", "mass", confirm=confirm)

    assert (ended.code, "--confirm 101" in ended.error) == (2, True)
    assert await stored.one("SELECT count(*) FROM oban_jobs WHERE state = 'discarded'") == 0


async def test_what_the_database_holds_is_no_mistake(stored: Hand) -> None:
    ended = powertools("bulk", "preview", "step_retry", "--state", "discarded", dsn=stored.dsn)

    assert ended.code == 5
    assert find_exit_code(BulkMatchesNothingError("matches nothing", "one")) is Exit.CONFLICT


# Every command


def refused(*words: str) -> Exit | None:
    with pytest.raises(Exception) as raised:
        root.main([*words], prog_name="powertools", standalone_mode=False)
    return find_exit_code(raised.value)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_option_that_no_command_has_is_refused_by_each(path: tuple[str, ...]) -> None:
    assert refused(*path, "--no-such-option") is Exit.USAGE


def chosen() -> Iterator[tuple[tuple[str, ...], str]]:
    for path, command in COMMANDS.items():
        for param in command.params:
            if isinstance(param, click.Option) and isinstance(param.type, click.Choice | click.types.IntParamType):
                yield path, param.opts[0]


@pytest.mark.parametrize(
    ("path", "option"), list(chosen()), ids=lambda part: part if isinstance(part, str) else "_".join(part)
)
def test_a_word_that_is_none_of_an_options_is_refused(path: tuple[str, ...], option: str) -> None:
    given = arguments(COMMANDS[path], option)

    assert refused(*path, *given[:-1], "no-such-word") is Exit.USAGE
