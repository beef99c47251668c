"""What type checkers say of users' code: right code has no error, and each line that is wrong has one."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRONG = sorted((Path(__file__).parent / "wrong").glob("*.py"))
RIGHT = sorted((ROOT / "examples" / "typed").glob("*.py"))
PAGES = ["README.md", "docs/index.md", "docs/tutorial.md"]
BIN = Path(sys.executable).parent
STRICT = {"typeCheckingMode": "strict", "pythonVersion": "3.12"}

type Errors = set[tuple[str, int]]


def pyright(files: list[Path], directory: Path) -> Errors:
    (directory / "pyrightconfig.json").write_text(json.dumps(STRICT))
    for path in files:
        shutil.copy(path, directory)
    command = [BIN / "pyright", "--outputjson", "--project", directory, "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files)
    found = report["generalDiagnostics"]
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found}


def mypy(files: list[Path], directory: Path) -> Errors:
    options = ["--strict", "--no-pretty", "--cache-dir", directory, "--config-file", "", "--python-executable"]
    command = [BIN / "mypy", *options, sys.executable, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    assert done.stderr == ""
    return {(Path(name).name, int(line)) for name, line in re.findall(r"^(.*):(\d+): error", done.stdout, re.MULTILINE)}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", [pyright, mypy])
def test_each_wrong_line_is_refused_and_no_other(checker: Callable[..., Errors], tmp_path: Path) -> None:
    expected = {
        (path.name, number)
        for path in WRONG
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.endswith("# expect: error")
    }

    assert checker(WRONG, tmp_path) == expected


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", [pyright, mypy])
def test_the_examples_pass_the_strictest_checks(checker: Callable[..., Errors], tmp_path: Path) -> None:
    assert checker(RIGHT, tmp_path) == set()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", [pyright, mypy])
@pytest.mark.parametrize("page", PAGES)
def test_the_pages_where_authors_begin_pass_too(checker: Callable[..., Errors], tmp_path: Path, page: str) -> None:
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    # A page that shows a file again means its last version; what used the first one is left out.
    for name, block in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        (blocks / name).write_text(f"\n{block}")
    (blocks / "first.py").unlink(missing_ok=True)
    checked = tmp_path / "checked"
    checked.mkdir()

    assert checker(sorted(blocks.glob("*.py")), checked) == set()


def test_no_example_asks_a_checker_to_look_away() -> None:
    ignored = [path.name for path in RIGHT if re.search(r"#\s*(type:|pyright:|mypy:)", path.read_text())]

    assert ignored == []
