"""Every command that answers does so in three forms: for people, as one document, and as a record a line."""

import asyncio
import contextlib
import io
import json
from typing import Any

import pytest

from oban_powertools.cli.main import run
from tests.cli.test_cli_reference import COMMANDS, options
from tests.support.by_hand import Hand
from tests.support.command import powertools
from tests.support.furnished import furnished, set_ages
from tests.support.screens import SCREENS, words_of

ALL = [tuple(words_of(command)) for commands in SCREENS.values() for command in commands]
LISTS = {
    ("audit", "list"): "records",
    ("executors", "list"): "executors",
    ("incidents", "list"): "incidents",
    ("job", "list"): "jobs",
    ("queues", "list"): "queues",
    ("repair", "list"): "previews",
    ("retention", "status"): "classes",
    ("settings", "list"): "settings",
    ("signals", "list"): "signals",
    ("signals", "waits"): "waits",
    ("webhooks", "deliveries"): "deliveries",
    ("webhooks", "list"): "webhooks",
    ("workflow", "commands"): "commands",
    ("workflow", "list"): "workflows",
}
"""Command -> the key of its list in JSON."""

WITHOUT_ANSWER = {
    ("start",),
    ("mcp",),
    ("web",),
    ("password",),
    ("demo",),
    ("completion",),
    ("openapi",),
    ("audit", "export"),
}


def test_every_command_that_answers_takes_a_form() -> None:
    without = {path for path, command in COMMANDS.items() if not {"--output", "--json"} <= options(command)}

    assert without == WITHOUT_ANSWER


def test_every_list_is_known() -> None:
    assert {path for path in COMMANDS if path[-1] == "list"} <= set(LISTS)


@pytest.mark.timeout(180)
async def test_json_lines_hold_what_the_document_holds(dsn: str) -> None:
    documents: dict[tuple[str, ...], Any] = {}
    lines: dict[tuple[str, ...], Any] = {}
    async with furnished(dsn) as hand:
        for words in ALL:
            await set_ages(hand)
            documents[words] = records(words, json.loads(await ask(dsn, *words, "--output", "json")))
            lines[words] = [json.loads(line) for line in (await ask(dsn, *words, "--output", "jsonl")).splitlines()]

    assert {words: without_own(shown) for words, shown in lines.items()} == {
        words: without_own(shown) for words, shown in documents.items()
    }


def records(words: tuple[str, ...], document: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands on each line."""
    key = next((key for path, key in LISTS.items() if words[: len(path)] == path), None)
    if key is None:
        return [document]
    return [{"schema_version": document["schema_version"], **record} for record in document[key]]


def without_own(value: Any) -> Any:
    """The value without what each answer has of its own."""
    if isinstance(value, list):
        return [without_own(each) for each in value]
    if isinstance(value, dict) and "preview_token" in value:
        return value.keys()
    return {k: without_own(v) for k, v in value.items() if k != "explained_at"} if isinstance(value, dict) else value


async def ask(dsn: str, *words: str) -> str:
    """What the command prints for a program."""
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(io.StringIO()):
        await asyncio.to_thread(run, [*words, "--dsn", dsn])
    return stdout.getvalue()


def test_two_forms_are_refused() -> None:
    ended = powertools("workflow", "list", "--json", "--output", "jsonl", dsn="postgresql://")

    assert (ended.code, ended.out) == (2, "")
    assert "--json and --output jsonl name two forms" in ended.error


def test_an_error_is_a_line_on_stderr_in_every_form() -> None:
    for form in ("table", "json", "jsonl"):
        ended = powertools("workflow", "show", "0", "--output", form, dsn="postgresql://")
        assert (ended.code, ended.out) == (2, "")
        assert "'0' is not an id" in ended.error


@pytest.mark.parametrize("form", [("--json",), ("--output", "json"), ("--output=jsonl",)], ids=" ".join)
@pytest.mark.parametrize(
    ("words", "code"),
    [(("workflow", "show", "999"), "workflow_not_found"), (("workflow", "list", "--limit", "x"), "usage")],
)
async def test_an_error_is_json_where_a_program_reads(
    hand: Hand, words: tuple[str, ...], code: str, form: tuple[str, ...]
) -> None:
    plain = await asyncio.to_thread(powertools, *words, dsn=hand.dsn)
    ended = await asyncio.to_thread(powertools, *words, *form, dsn=hand.dsn)

    [line] = ended.err.splitlines()
    assert json.loads(line) == {"schema_version": 1, "error": {"code": code, "message": plain.error}}
    assert (ended.code, ended.out) == (plain.code, "")
