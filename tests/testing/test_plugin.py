"""The plug-in as users have it: found by pytest itself, with any plug-in for asyncio, one server for all processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OF_EITHER = """
from datetime import timedelta

import pytest
from oban import job
from oban_powertools import Workflow

NUMBERS = []


@job(queue="default")
async def double(n: int) -> int:
    return 2 * n


{mark}
@pytest.mark.parametrize("n", range(3))
async def test_it(workflow_runner, n):
    workflow = Workflow("t")
    workflow.add("a", double.new(n=n), delay=timedelta(days=30))
    run = await workflow_runner.run(workflow)
    run.assert_step("a", result=2 * n)
    assert run.id == 1
"""


def run(directory: Path, *options: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "POWERTOOLS_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *options]
    # Also where the package was installed before it had an entry point.
    command += ["-p", "oban_powertools.pytest_plugin"]
    done = subprocess.run(
        command, cwd=directory, env=kept | environment, check=False, capture_output=True, text=True, timeout=50
    )
    return done.stdout + done.stderr


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ["-p", "no:anyio"]),
        ("", ["-p", "no:anyio", "-o", "asyncio_mode=auto"]),
        ("@pytest.mark.anyio", ["-p", "no:asyncio"]),
        ("@pytest.mark.anyio", []),
    ],
    ids=["asyncio", "asyncio-auto", "anyio", "both"],
)
def test_each_plug_in_for_asyncio_will_do(
    directory: Path, powertools_server: str, mark: str, options: list[str]
) -> None:
    backend = '\n\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n' if "anyio" in mark else ""
    (directory / "test_it.py").write_text(OF_EITHER.format(mark=mark) + backend)

    assert "3 passed" in run(directory, *options, "--powertools-dsn", powertools_server)


def test_processes_of_xdist_use_one_embedded_server_and_leave_nothing(directory: Path) -> None:
    (directory / "test_it.py").write_text(OF_EITHER.format(mark="@pytest.mark.asyncio"))
    (directory / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef tell(powertools_server):\n"
        "    with open('servers', 'a') as file:\n        file.write(powertools_server + '\\n')\n"
    )

    printed = run(directory, "-n", "2")

    assert "3 passed" in printed
    [server] = set((directory / "servers").read_text().splitlines())
    place = server.partition("host=")[2].partition("&")[0]
    assert not Path(place).exists()


def test_a_server_is_named_in_the_environment_or_in_pytests_settings(directory: Path, powertools_server: str) -> None:
    (directory / "test_it.py").write_text(
        f"def test_it(powertools_server): assert powertools_server == {powertools_server!r}"
    )

    assert "1 passed" in run(directory, POWERTOOLS_TEST_DSN=powertools_server)
    assert "1 passed" in run(directory, "-o", f"powertools_dsn={powertools_server}")


def test_options_of_the_runner_come_from_a_fixture(directory: Path, powertools_server: str) -> None:
    (directory / "test_it.py").write_text(
        "import pytest\n\n\n@pytest.fixture(scope='session')\ndef powertools_options():\n"
        "    return {'schema': 'flows', 'prefix': 'jobs'}\n\n\n"
        "def test_it(sync_workflow_runner):\n"
        "    from test_workers import double\n    from oban_powertools import Workflow\n"
        "    workflow = Workflow('t')\n    workflow.add('a', double.new(n=1))\n"
        "    sync_workflow_runner.run(workflow).assert_finished()\n"
    )
    (directory / "test_workers.py").write_text(OF_EITHER.format(mark="@pytest.mark.skip"))

    assert "1 passed" in run(directory, "test_it.py", "--powertools-dsn", powertools_server)


def test_nothing_is_imported_where_no_test_asks_for_a_fixture(directory: Path) -> None:
    (directory / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not loaded & {'oban', 'psycopg', 'orjson'}\n"
        "    ours = [name for name in sys.modules if name.startswith('oban_powertools.')]\n"
        "    assert ours == ['oban_powertools.pytest_plugin']\n"
    )

    assert "1 passed" in run(directory)
