"""``docs/reference/cli.md`` and the help say what the command does: all of it, and nothing else."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from oban_powertools.cli.exits import Exit
from oban_powertools.cli.main import COMMANDS as LINES
from oban_powertools.cli.main import powertools as root
from tests.cli.test_cli import ENDINGS
from tests.support.by_hand import Hand, chain
from tests.support.command import powertools

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))
EVERYWHERE = SECTIONS["Options of every command"]
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group) and not command.invoke_without_command:
            yield from leaves(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


COMMANDS = dict(leaves(root))


def section(path: tuple[str, ...]) -> str:
    [text] = [text for title, text in SECTIONS.items() if re.match(rf"`powertools {' '.join(path)}[` ]", title)]
    return text


def options(command: click.Command) -> set[str]:
    found = {name for param in command.params if isinstance(param, click.Option) for name in param.opts}
    return found | {name for param in command.params for name in param.secondary_opts}


def usage(path: tuple[str, ...], command: click.Command) -> str:
    metavars = [param.metavar for param in command.params if isinstance(param, click.Argument)]
    return " ".join(["powertools", *path, *map(str, metavars)])


def test_the_reference_has_a_section_for_every_command_and_no_other() -> None:
    titles = {title for title in SECTIONS if title.startswith("`")}

    assert titles == {f"`{usage(path, command)}`" for path, command in COMMANDS.items()}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_in_the_reference_and_no_other(path: tuple[str, ...]) -> None:
    shared = set(OPTION.findall(EVERYWHERE))
    described = set(re.findall(r"^\| (`.*?`) \|", section(path), re.MULTILINE))

    assert set(OPTION.findall(" ".join(described))) == options(COMMANDS[path]) - shared


WITHOUT_DATABASE = {("demo",), ("completion",), ("openapi",), ("password",)}


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - WITHOUT_DATABASE), ids=" ".join)
def test_every_command_takes_the_options_of_every_command(path: tuple[str, ...]) -> None:
    shared = set(OPTION.findall(EVERYWHERE))

    assert options(COMMANDS[path]) >= shared - {"-h", "--help", "--json", "--output", "--version"}


def test_every_environment_variable_of_an_option_is_in_the_reference() -> None:
    variables = {param.envvar for command in COMMANDS.values() for param in command.params if param.envvar}

    assert {variable for variable in variables if f"`{variable}`" not in PAGE} == set()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_shows_an_example_that_parses(path: tuple[str, ...]) -> None:
    shown = COMMANDS[path].get_help(click.Context(COMMANDS[path]))

    [examples] = re.findall(r"\n  Examples?:\n((?:    .*\n?)+)", shown)
    for line in examples.splitlines():
        words = shlex.split(line.split(" > ")[0].split(" | ")[0].split(" || ")[0])
        assert words[: 1 + len(path)] == ["powertools", *path]
        COMMANDS[path].make_context(" ".join(path), words[1 + len(path) :])


def test_help_is_an_answer() -> None:
    for option in ("-h", "--help"):
        ended = powertools("workflow", "show", option)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith("Usage: powertools workflow show [OPTIONS] ID\n")


def test_every_exit_code_is_in_the_reference_and_tested() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.MULTILINE)}

    assert documented == set(Exit) == set(ENDINGS)


@pytest.mark.timeout(180)
async def test_every_answer_as_json_has_the_keys_of_the_reference(hand: Hand, dsn: str) -> None:
    workflow_id = str(await hand.insert(chain(2)))
    other_id = await hand.insert(chain(1))
    job_id = str((await hand.job(other_id, "s0")).id)
    calls = [
        ("install",),
        ("install", "--sql"),
        ("upgrade",),
        ("upgrade", "--sql"),
        ("status",),
        ("workflow", "list"),
        ("workflow", "show", workflow_id),
        ("workflow", "show", workflow_id, "--step", "s0"),
        ("workflow", "show", workflow_id, "--results"),
        ("workflow", "history", workflow_id),
        ("workflow", "explain", workflow_id),
        ("workflow", "explain", workflow_id, "s1"),
        ("workflow", "graph", workflow_id),
        ("workflow", "export", workflow_id),
        ("workflow", "graph", workflow_id, "--svg", "-"),
        ("workflow", "commands", workflow_id),
        ("workflow", "hold", workflow_id, "--for", "1h", "--reason", "because of a test"),
        ("workflow", "release", workflow_id, "--reason", "because of a test"),
        ("workflow", "recover", workflow_id, "s0", "--action", "skip", "--reason", "because of a test"),
        ("workflow", "cancel", workflow_id, "--yes", "--reason", "because of a test"),
        ("signal", "approved", "--key", "7"),
        ("signals", "list"),
        ("signals", "waits"),
        ("watch",),
        ("job", "list"),
        ("job", "explain", job_id),
        ("job", "reveal", job_id, "--what", "args", "--reason", "because of a test"),
        ("workflow", "reveal", workflow_id, "--what", "context", "--reason", "because of a test"),
        ("audit", "list"),
        ("audit", "show", "1"),
        ("audit", "verify"),
        ("roles",),
        ("doctor",),
        ("check",),
        ("retention", "status"),
        ("retention", "prune", "--dry-run", "--reason", "because of a test"),
        ("settings", "list"),
        ("settings", "set", "incident_failing_count", "7", "--reason", "because of a test"),
        ("executors", "list"),
        ("queues", "list"),
        ("queues", "show", "default"),
        ("repair", "preview", "step_hold", f"{other_id}/s0", "--for", "1h"),
        ("repair", "show", "1"),
        ("repair", "list"),
        ("repair", "approve", "1", "--actor", "grace", "--reason", "because of a test"),
        ("bulk", "preview", "workflow_cancel", "--id", workflow_id),
        ("bulk", "status", "1"),
    ]

    answers = {call: powertools(*call, "--json", dsn=hand.dsn).json for call in calls}
    answers[("uninstall", "--yes")] = powertools("uninstall", "--yes", "--json", dsn=dsn).json

    elsewhere = {
        "start",
        "mcp",
        "web",
        "password",
        "demo",
        "completion",
        "openapi",
        "events",
        "webhooks",
        "audit export",
        "incidents",
        "repair execute",
        "bulk execute",
        "queue",
    }
    answered = {path for path in COMMANDS if not {path[0], " ".join(path)} & elsewhere}
    assert {path_of(call) for call in answers} == answered
    assert [answer["schema_version"] for answer in answers.values()] == [1] * len(answers)
    found = {call: answer.keys() - {"schema_version"} for call, answer in answers.items()}
    assert found == {call: promised(call) for call in answers}


def path_of(call: tuple[str, ...]) -> tuple[str, ...]:
    return next(path for path in COMMANDS if call[: len(path)] == path)


def promised(call: tuple[str, ...]) -> set[str]:
    """The keys that the reference promises for this call."""
    [line] = re.findall(r"JSON keys: (.*)\.", section(path_of(call)))
    plain, *special = re.sub(r" \(.*?\)", "", line).split("; ")
    chosen = next((part for part in special if set(OPTION.findall(part)) & set(call)), plain)
    return set(re.findall(r"`(\w+)`", chosen))


def test_the_help_of_the_root_says_of_each_command_what_the_command_says_itself() -> None:
    context = click.Context(root)
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}
    said = {name: command.get_short_help_str(200) for name, command in commands.items() if command is not None}

    assert said == {name: line for name, (_, line) in LINES.items()}


def test_the_help_loads_no_driver_and_no_command() -> None:
    code = (
        "import sys; from oban_powertools.cli.main import run; run(['--help']); print([*sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = re.compile(r"psycopg|oban|orjson|asyncio|.*_commands?")

    assert [name for name in ast.literal_eval(done.stderr) if slow.fullmatch(name)] == []
