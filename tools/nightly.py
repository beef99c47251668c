"""Runs the tests under every Python, on every PostgreSQL and with every Django that is promised.

``python -m tools.nightly [PART ...]``: a part is ``python3.12``, ``postgresql14`` or ``django5.2``; without any, all
are run, one after the other, each with all tests, those of Django with the tests about it.
What this machine cannot run is named at the end, and is a failure where ``CI=true``.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tools.servers import VERSIONS, running

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / ".nightly"
"""Environments and servers, for the next night."""
DJANGOS: Final = ("5.2", "6.0")
"""Beside the newest, which ``make test`` runs with."""
WITH_DJANGO: Final = ("tests/integrations/django", "tests/sync")
PYTEST: Final = ("-m", "pytest", "-q", "-n", "logical", "--maxprocesses=8", "--dist=worksteal")


class NotHereError(Exception):
    """This machine has no such Python, or no such server can be fetched."""


def main() -> int:
    """Returns: the exit code."""
    parts = _parts()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--tests", nargs="*", default=[], help="paths of the tests to run, for a try")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    ends = {part: _run(part, parts[part], arguments.tests) for part in arguments.parts or parts}
    for part, end in ends.items():
        print(f"{part:14} {end}")
    refused = {"failed", "not here"} if os.environ.get("CI") == "true" else {"failed"}
    return int(any(end.startswith(tuple(refused)) for end in ends.values()))


def _parts() -> dict[str, Callable[[list[str]], int]]:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(classifiers))
    under = {f"python{version}": partial(_under_python, version) for version in pythons}
    under |= {f"postgresql{major}": partial(_on_postgresql, major) for major in VERSIONS}
    return under | {f"django{version}": partial(_with_django, version) for version in DJANGOS}


def _run(part: str, run: Callable[[list[str]], int], tests: list[str]) -> str:
    print(f"== {part}", flush=True)
    began = time.monotonic()
    try:
        failed = run(tests)
    except NotHereError as missing:
        return f"not here: {missing}"
    return f"{'failed' if failed else 'passed'} in {(time.monotonic() - began) / 60:.0f} min"


def _under_python(version: str, tests: list[str]) -> int:
    environment = KEPT / f"python{version}"
    python = environment / "bin" / "python"
    subprocess.run([_find_python(version), "-m", "venv", "--clear", str(environment)], check=True)
    install = ["-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev,embedded]"]
    subprocess.run([str(python), *install], cwd=ROOT, check=True)
    return subprocess.run([str(python), *PYTEST, *tests], cwd=ROOT, check=False).returncode


def _find_python(version: str) -> str:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (*sorted(pyenv.glob(f"{version}.*/bin/python3")), shutil.which(f"python{version}")):
        if candidate and subprocess.run([str(candidate), "-c", "import ensurepip, venv"], check=False).returncode == 0:
            return str(candidate)
    raise NotHereError(f"no Python {version} was found, in the path or under pyenv")


def _on_postgresql(major: int, tests: list[str]) -> int:
    with running(major, KEPT) as dsn:
        environment = {**os.environ, "POWERTOOLS_TEST_DSN": dsn}
        return subprocess.run([sys.executable, *PYTEST, *tests], cwd=ROOT, env=environment, check=False).returncode


def _with_django(version: str, tests: list[str]) -> int:
    """Before the installed one in the path of modules, so that everything else is as ever."""
    folder = KEPT / f"django{version}"
    install = ["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target", str(folder)]
    subprocess.run([sys.executable, *install, f"django=={version}.*"], cwd=ROOT, check=True)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *PYTEST, *(tests or WITH_DJANGO)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
