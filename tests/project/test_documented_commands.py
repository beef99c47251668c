"""Blocks of the documentation that are not run are right all the same: they parse, and name commands that there are."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import pytest
import yaml

from oban_powertools.cli.main import powertools as root
from tests.project.test_docs import PAGES, ROOT

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
ENDS = re.compile(r" (?:\||\|\||&&|>|<) ")
"""What ends a command in a line of a shell."""


def _blocks(page: Path, *kinds: str) -> Iterator[str]:
    return (dedent(text) for _, kind, text in FENCED.findall(page.read_text()) if not kinds or kind in kinds)


def _named(values: list[tuple[Path, Any]]) -> list[Any]:
    return [pytest.param(*value, id=f"{value[0].relative_to(ROOT)}:{at}") for at, value in enumerate(values)]


@pytest.mark.parametrize(("page", "text"), _named([(p, text) for p in PAGES for text in _blocks(p, "yaml")]))
def test_every_yaml_block_parses(page: Path, text: str) -> None:
    assert list(yaml.safe_load_all(text)) != [None]


@pytest.mark.parametrize(("page", "text"), _named([(p, text) for p in PAGES for text in _blocks(p, "json")]))
def test_every_json_block_parses(page: Path, text: str) -> None:
    assert json.loads(text)


@pytest.mark.parametrize(("page", "text"), _named([(p, text) for p in PAGES for text in _blocks(p, "toml")]))
def test_every_toml_block_parses(page: Path, text: str) -> None:
    assert tomllib.loads(text)


def _commands(page: Path) -> Iterator[str]:
    """Each command of ours in a block or in a sentence, on one line."""
    for text in _blocks(page):
        joined = text.replace("\\\n", " ")
        yield from re.findall(r"^(?:\$ |next: |  or: )?powertools (?=[a-z-])(.+)$", joined, re.MULTILINE)
    for text in _blocks(page, "yaml"):
        yield from (shlex.join(words) for document in yaml.safe_load_all(text) for words in _lists(document))
    for text in _blocks(page, "dockerfile"):
        yield from (shlex.join(json.loads(words)) for words in re.findall(r"^CMD (.*)$", text, re.MULTILINE))
    prose = FENCED.sub("", page.read_text()) if page.name != "CHANGELOG.md" else ""
    yield from (" ".join(words.split()) for words in re.findall(r"`powertools\s(?=[a-z-])([^`]+)`", prose))


def _lists(document: Any) -> Iterator[list[str]]:
    """The arguments of containers that run the command, as their image's entry point."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name in {"args", "command"} and isinstance(value, list):
                yield value
            else:
                yield from _lists(value)
    elif isinstance(document, list):
        for value in document:
            yield from _lists(value)


@pytest.mark.parametrize(("page", "line"), _named([(p, line) for p in PAGES for line in _commands(p)]))
def test_every_command_of_a_page_is_one_with_options_that_there_are(page: Path, line: str) -> None:
    words = shlex.split(ENDS.split(f"{line} ")[0], comments=True)
    context = click.Context(root, info_name="powertools")
    command: click.Command = root
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert name is not None and found is not None
        context = click.Context(found, parent=context, info_name=name)
        command = found
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}

    assert {word.partition("=")[0] for word in words if word.startswith("--")} - options - {
        "--help",
        "--version",
    } == set()
