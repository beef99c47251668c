"""What a script's variable left empty is refused by every command, and taken neither for everything nor for nothing."""

from collections.abc import Iterator

import click
import pytest

from oban_powertools.cli.exits import Exit
from oban_powertools.cli.main import powertools as root
from oban_powertools.cli.reporting import find_exit_code
from tests.cli.test_cli_reference import COMMANDS

ON_RECORD = {"--actor", "--reason"}
"""An empty one is refused by the call itself, on record: tests/cli/test_cli_changes.py."""

OF_EVERY_COMMAND = {"--dsn", "--prefix", "--schema", "--display", "--authorize", "--config", "--data-directory"}


def texts() -> Iterator[tuple[tuple[str, ...], str]]:
    for path, command in COMMANDS.items():
        for param in command.params:
            if isinstance(param, click.Option) and not param.is_flag and not param.count:
                [name] = [opt for opt in param.opts if opt.startswith("--")]
                if name not in ON_RECORD | OF_EVERY_COMMAND:
                    yield path, name


def arguments(command: click.Command, option: str) -> list[str]:
    """What else the command needs, with the option empty."""
    given: list[str] = []
    for param in command.params:
        if isinstance(param, click.Argument):
            kind = param.type
            given.append(kind.choices[0] if isinstance(kind, click.Choice) else "1")
        elif param.required and option not in param.opts:
            given += [param.opts[0], "because of a test"]
    return [*given, option, ""]


@pytest.mark.parametrize(
    ("path", "option"), list(texts()), ids=lambda part: " ".join(part) if isinstance(part, tuple) else part
)
def test_an_option_that_is_empty_is_refused(path: tuple[str, ...], option: str) -> None:
    with pytest.raises(Exception) as raised:
        root.main([*path, *arguments(COMMANDS[path], option)], prog_name="powertools", standalone_mode=False)

    assert find_exit_code(raised.value) is Exit.USAGE, raised.value


@pytest.mark.parametrize("option", sorted(OF_EVERY_COMMAND - {"--authorize"}))
def test_an_option_of_every_command_that_is_empty_is_refused(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBAN_DSN", raising=False)
    with pytest.raises(Exception) as raised:
        root.main(["workflow", "list", option, ""], prog_name="powertools", standalone_mode=False)

    assert find_exit_code(raised.value) is Exit.USAGE, raised.value
