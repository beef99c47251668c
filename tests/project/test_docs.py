"""The documentation is true: its code runs, its commands print what it shows, and nothing public is left out.

A page is run from top to bottom in a directory and on a database of its own. A ``python`` block is a program; one that
starts with ``# name.py`` is only saved under that name. A ``sql`` block is run by the database's owner. In a
``console`` block the lines after ``$`` are commands and the others what they print, ``...`` standing for anything;
``powertools start`` runs in the background until the page ends, and ``psql -f`` is run by the database's owner.
``TOKEN`` in a command is the token that was printed last. Other blocks are for reading.
"""

import dataclasses
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

import oban_powertools
from oban_powertools import (
    Effects,
    ExecutorState,
    Policy,
    Powertools,
    PowertoolsError,
    Settings,
    StepState,
    WorkflowState,
    errors,
)
from oban_powertools.cli.exits import Exit
from oban_powertools.cli.reporting import find_exit_code
from oban_powertools.config import Names
from oban_powertools.states import Cause, OperatorStatus

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "oban_powertools"
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("python", "sql", "console")
WITHIN = 60  # seconds, for one program
WORDS = (WorkflowState, StepState, Policy, Effects, Cause, ExecutorState, OperatorStatus)


def _classes() -> list[type]:
    """The public classes that have members of their own to describe; enums and errors have tables of their own."""
    found = [getattr(oban_powertools, name) for name in oban_powertools.__all__]
    return [f for f in found if inspect.isclass(f) and not issubclass(f, str | Exception) and f is not Settings]


def _blocks(page: Path) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in BLOCK.findall(page.read_text()) if kind in RUN]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=_name)
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page: Path, dsn: str, server_directory: Path) -> None:
    with ExitStack() as background:
        reader = _Reader(server_directory, None if page == TUTORIAL else dsn, background)
        for kind, text in _blocks(page):
            getattr(reader, f"follow_{kind}")(text)


class _Reader:
    """Somebody who does what a page says, in a directory of their own.

    Args:
        dsn: None for a reader who names no database.
        background: Ends what was started and not waited for.
    """

    def __init__(self, directory: Path, dsn: str | None, background: ExitStack) -> None:
        self._directory = directory
        self._dsn = dsn
        self._background = background
        self._token = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OBAN_", "PG"))}
        self._environment = kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "COLUMNS": "120"}
        if dsn is not None:
            self._environment["OBAN_DSN"] = dsn

    def follow_python(self, text: str) -> None:
        named = re.match(r"# (\S+\.py)\n", text)
        program = self._directory / (named[1] if named else "block.py")
        program.write_text(text)
        if not named:
            self._run(f"python {program.name}")

    def follow_sql(self, text: str) -> None:
        assert self._dsn is not None
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            conn.execute(text.encode())

    def follow_console(self, text: str) -> None:
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            if command.startswith("powertools start "):
                self._start(command)
            elif command.startswith("psql -f "):
                self.follow_sql((self._directory / command.removeprefix("psql -f ")).read_text())
            else:
                printed = self._run(re.sub(r"\bTOKEN\b", self._token, command))
                self._token = next(iter(re.findall(r"^token +(\w+)$", printed, re.MULTILINE)), self._token)
                expected = ".*".join(re.escape(part) for part in shown.strip().split("..."))
                assert re.fullmatch(expected, printed, re.DOTALL), f"$ {command}\n{printed}"

    def _start(self, command: str) -> None:
        log = self._background.enter_context((self._directory / "start.log").open("ab"))
        options: dict[str, Any] = {"cwd": self._directory, "env": self._environment, "stdout": log, "stderr": log}
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], **options)
        self._background.callback(process.wait, timeout=WITHIN)
        self._background.callback(process.send_signal, signal.SIGTERM)

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._directory,
            env=self._environment,
            check=False,
            timeout=WITHIN,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def test_every_link_leads_somewhere() -> None:
    dead = [f"{_name(page)}: {target}" for page in PAGES for target in _links(page) if not _exists(page, target)]

    assert dead == []


def test_every_code_block_begins_and_ends_on_a_line_of_its_own() -> None:
    lines = [(page, line) for page in PAGES for line in page.read_text().splitlines() if "```" in line]

    assert [f"{_name(page)}: {line}" for page, line in lines if not re.fullmatch(r" *```\w*", line)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = {ROOT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        paths = {(page.parent / target.partition("#")[0]).resolve() for target in _links(page)}
        ahead |= {path for path in paths if path.suffix == ".md"} - reached

    assert set(PAGES) - reached == set()


def test_every_public_name_is_in_the_reference() -> None:
    page = (REFERENCE / "api.md").read_text()

    assert [name for name in oban_powertools.__all__ if f"`{name}" not in page and f"## {name}\n" not in page] == []


@pytest.mark.parametrize("public", _classes(), ids=lambda public: public.__name__)
def test_every_member_of_a_public_class_is_in_its_section_with_its_parameters(public: type) -> None:
    named = {
        word for code in re.findall(r"`([^`\n]+)`", _section(public.__name__)) for word in re.findall(r"\w+", code)
    }

    assert _members(public) - named == set()


def test_every_setting_is_in_the_reference() -> None:
    page = (REFERENCE / "settings.md").read_text()
    fields = {field.name for settings in (Settings, Names) for field in dataclasses.fields(settings)}
    arguments = {*inspect.signature(Powertools).parameters, *inspect.signature(Powertools.open).parameters}

    assert {name for name in fields | arguments if f"`{name}`" not in page} == set()


def test_every_environment_variable_is_in_the_reference() -> None:
    page = (REFERENCE / "settings.md").read_text()
    read = re.compile(r"""(?:environ\.get\(|environ\[|envvar=)"(\w+)\"""")
    paths = (*SOURCE.rglob("*.py"), ROOT / "tests" / "conftest.py")
    variables = {name for path in paths for name in read.findall(path.read_text())} - {"CI", "TERM"}

    assert {name for name in variables if f"`{name}`" not in page} == set()


def test_every_error_is_in_the_reference_with_its_code_and_exit_code() -> None:
    page = (REFERENCE / "errors.md").read_text()
    rows = {(name, code, int(exit_code)) for name, code, exit_code in _ERROR_ROW.findall(page)}

    assert rows == {(error.__name__, error.code, _exit_code(error)) for error in _errors()}


def test_every_fault_of_a_definition_is_in_the_reference() -> None:
    page = (REFERENCE / "errors.md").read_text()
    sources = (
        SOURCE / "workflows" / "compile.py",
        SOURCE / "workflows" / "bounds.py",
        SOURCE / "workflows" / "builder.py",
        SOURCE / "database" / "json_border.py",
    )
    raised = re.compile(r"""(?:code=|_fault\(\s*)"(\w+)\"""")
    codes = {code for path in sources for code in raised.findall(path.read_text())}

    assert codes == set(re.findall(r"^\| `(\w+)` \|", page.partition("## Faults")[2], re.MULTILINE))


def test_every_state_is_in_the_vocabulary() -> None:
    page = (REFERENCE / "vocabulary.md").read_text()
    words = [word.value for kind in WORDS for word in kind]

    assert [word for word in words if f"| `{word}` |" not in page] == []


_ERROR_ROW = re.compile(r"^\| `(\w+Error)` \| `(\w+)` \|.*\| (\d+) \|$", re.MULTILINE)


def _errors() -> Iterator[type[PowertoolsError]]:
    for value in vars(errors).values():
        if inspect.isclass(value) and issubclass(value, PowertoolsError):
            yield value


def _exit_code(error: type[PowertoolsError]) -> int:
    code = find_exit_code(error.__new__(error))
    return Exit.FAILED if code is None else code


def _members(public: type) -> set[str]:
    """Public fields, attributes, properties and methods with their parameters."""
    if dataclasses.is_dataclass(public):
        words = {field.name for field in dataclasses.fields(public)}
    else:
        words = set(re.findall(r"self\.([a-z]\w*)\b[^=\n]* = ", inspect.getsource(public)))
    for name, value in vars(public).items():
        function = getattr(value, "__func__", value)
        if isinstance(value, property):
            words.add(name)
        elif callable(function) and not name.startswith("_"):
            words |= {name, *inspect.signature(function).parameters}
    return words - {"self", "cls"}


def _section(name: str) -> str:
    """What the reference says under the heading of this name; explanations have a page of their own."""
    pages = "".join(page.read_text() for page in sorted(REFERENCE.glob("*.md")))
    sections = re.split(r"^## ", pages, flags=re.MULTILINE)
    own = [section for section in sections if section.startswith(f"{name}\n")]
    return own[0] if own else (REFERENCE / "explain.md").read_text()


def _links(page: Path) -> list[str]:
    """The relative targets of a page's links, those in code left out."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target]


def _exists(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    return found.exists() and (not anchor or anchor in _anchors(found.read_text()))


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
