"""Commands and options are completed in a real shell, without a database and without the host's modules."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.command import POWERTOOLS, environment, powertools

ASK = """
eval "$(powertools completion bash)"
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_powertools_completion powertools
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(*words: str, **env: str) -> list[str]:
    """What a tab behind these words offers."""
    path = f"{Path(POWERTOOLS).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "--norc", "-c", ASK.format(words=shlex.join(["powertools", *words]))],
        env={**environment(None, **env), "PATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("wor",), ["workflow"]),
        (("incid",), ["incidents"]),
        (("incident", "mu"), ["mute"]),
        (("workflow", "show", "41", "--re"), ["--results"]),
        (("workflow", "list", "--state", "fa"), ["failed"]),
        (("workflow", "list", "--output", ""), ["table", "json", "jsonl"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_a_tab_completes_commands_options_and_their_values(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered


def test_a_tab_asks_no_database_and_imports_no_module_of_the_host() -> None:
    unreachable = {"OBAN_DSN": "postgresql://nowhere.invalid/", "POWERTOOLS_DISPLAY": "no.such:policy"}

    assert completed("workflow", "show", "--resu", **unreachable) == ["--results"]


@pytest.mark.parametrize(
    ("shell", "first"),
    [
        ("bash", "_powertools_completion() {"),
        ("zsh", "#compdef powertools"),
        ("fish", "function _powertools_completion;"),
    ],
)
def test_each_shell_gets_its_script(shell: str, first: str) -> None:
    printed = powertools("completion", shell)

    assert (printed.code, printed.out.splitlines()[0]) == (0, first)
