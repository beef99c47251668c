"""The house rules of the repository that a machine can check."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

import oban_powertools

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "oban_powertools"
MODULES = sorted(SOURCE.rglob("*.py"))
# In two parts, so that this file does not break its own rule.
REGISTRIES = tuple(".".join(parts) for parts in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org")])


def test_no_source_file_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (*MODULES, *SOURCE.rglob("*.sql"))}

    assert {str(path): length for path, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_60_lines_besides_its_docstring() -> None:
    lengths = {f"{path.name}:{node.lineno} {node.name}": _length(node) for path, node in _functions()}

    assert {name: length for name, length in lengths.items() if length > 60} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]

    assert silent == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "helpers", "common", "core", "misc"}

    assert [str(path) for path in SOURCE.rglob("*") if path.stem in drawers] == []


def test_no_module_hides_an_import_or_a_type_error() -> None:
    hidden = re.compile(r"TYPE_CHECKING|type: ignore|pyright: ignore")

    assert [str(path) for path in MODULES if hidden.search(path.read_text())] == []


def test_the_formatter_is_the_judge_of_every_line() -> None:
    skipped = re.compile(r"fmt: (skip|off)")
    files = [path for room in ("src", "tests", "bench", "tools") for path in (ROOT / room).rglob("*.py")]

    assert [str(path) for path in files if path != Path(__file__) and skipped.search(path.read_text())] == []


def test_every_public_name_exists_and_is_documented() -> None:
    public = {name: getattr(oban_powertools, name) for name in oban_powertools.__all__}

    assert [name for name, value in public.items() if _is_silent(value)] == []


def test_type_checkers_are_told_of_the_names_that_are_imported_when_asked_for() -> None:
    stub = ast.parse((SOURCE / "__init__.pyi").read_text())
    told = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert told == vars(oban_powertools)["_HOME_OF"]


def test_every_example_in_a_docstring_runs() -> None:
    results = {name: doctest.testmod(importlib.import_module(name)) for name in _importable_names()}

    assert {name: result for name, result in results.items() if result.failed} == {}


def test_no_tracked_file_names_the_host_of_a_package_registry() -> None:
    named = [str(path) for path, text in _tracked_texts() if any(host in text for host in REGISTRIES)]

    assert named == []


def test_a_todo_names_its_issue() -> None:
    nameless = re.compile(r"(#|--|//)\s*(TODO|FIXME|XXX|HACK)\b(?!.*#\d)")

    assert [str(path) for path, text in _tracked_texts() if nameless.search(text)] == []


def test_the_core_needs_nothing_that_oban_does_not_bring() -> None:
    ours = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])

    assert ours - set(requires("oban") or ()) == {"oban>=0.7,<0.8"}


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_every_make_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

    assert set(phony.split()) == set(re.findall(r"^([\w-]+):.*## ", makefile, re.MULTILINE))


def test_a_changelog_fragment_names_its_issue_and_kind() -> None:
    fragment = re.compile(r"\d+\.(added|changed|fixed|removed|security)\.md|README\.md|\.template\.md\.jinja")

    assert [path.name for path in (ROOT / "changelog.d").iterdir() if not fragment.fullmatch(path.name)] == []


def test_every_line_of_a_changelog_fragment_is_an_entry() -> None:
    lines = [
        (path.name, line) for path in (ROOT / "changelog.d").glob("[0-9]*") for line in path.read_text().splitlines()
    ]

    assert [f"{name}: {line}" for name, line in lines if not line.startswith("- ")] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return next(directory.iterdir())


def test_what_a_package_index_shows_leads_nowhere_that_is_not_there(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        shown = archive.read(metadata).decode()

    assert "## Install" in shown
    assert [link for link in re.findall(r"\]\(([^)]*)\)", shown) if not link.startswith("https://")] == []


def test_the_wheel_holds_every_module_and_query(wheel: Path) -> None:
    missing = {str(path.relative_to(ROOT / "src")) for path in SOURCE.rglob("*.*") if path.suffix != ".pyc"}
    missing -= set(zipfile.ZipFile(wheel).namelist())

    assert missing == set()


def _functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(function, clean=False) or ""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - len(docstring.splitlines())


def _is_silent(value: object) -> bool:
    """Whether a class or function has no sentence of its own; a dataclass writes its signature into ``__doc__``."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return False
    return not value.__doc__ or value.__doc__.startswith(f"{value.__name__}(")


def _importable_names() -> Iterator[str]:
    for module in pkgutil.walk_packages(oban_powertools.__path__, "oban_powertools."):
        # Modules of the Django app are imported by a project with settings.
        if not module.name.endswith("__main__") and ".integrations.django." not in module.name:
            yield module.name


def _tracked_texts() -> Iterator[tuple[Path, str]]:
    """Every file under version control or about to be, with its text."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    for path in (ROOT / name for name in names.split("\0") if name):
        if path.is_file():
            yield path, path.read_text(errors="replace")
