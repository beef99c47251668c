"""The fixtures of ``oban_powertools.testing``, for pytest, which finds them by itself.

Nothing is imported, started or made before a test asks for a fixture.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

_OPTION: Final = "powertools_dsn"
_VARIABLE: Final = "POWERTOOLS_TEST_DSN"
_DIRECTORY: Final = pytest.StashKey[Path]()
_OF_WORKERS: Final = "powertools_directory"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The server's option."""
    text = (
        f"a server whose user may create databases, for the tests of workflows; else ${_VARIABLE}, else one is started"
    )
    parser.addoption("--powertools-dsn", dest=_OPTION, metavar="DSN", default=None, help=text)
    parser.addini(_OPTION, text, default="")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process of pytest-xdist where the one server of the session is."""
    node.workerinput[_OF_WORKERS] = str(_directory(node.config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the server's files, once all processes have left it."""
    if (directory := config.stash.get(_DIRECTORY, None)) is not None and not hasattr(config, "workerinput"):
        shutil.rmtree(directory, ignore_errors=True)


def _directory(config: pytest.Config) -> Path:
    if _DIRECTORY not in config.stash:
        from .testing.databases import directory_name

        given: dict[str, Any] = getattr(config, "workerinput", {})
        config.stash[_DIRECTORY] = Path(given[_OF_WORKERS]) if _OF_WORKERS in given else directory_name()
    return config.stash[_DIRECTORY]


@pytest.fixture(scope="session")
def powertools_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of a server, one a session: that of ``--powertools-dsn``, else an embedded one."""
    from .testing.databases import open_server

    config = request.config
    if dsn := config.getoption(_OPTION) or config.getini(_OPTION) or os.environ.get(_VARIABLE):
        yield dsn
        return
    with open_server(_directory(config)) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def powertools_options() -> dict[str, Any]:
    """What runners are opened with, as the arguments of ``WorkflowRunner``; for you to override."""
    return {}


@pytest.fixture(scope="session")
def powertools_template(powertools_server: str, powertools_options: dict[str, Any]) -> str:
    """The name of the database whose copies the tests get; add tables of yours to it in a fixture of the same name."""
    from .config import Names
    from .testing.databases import make_template

    return make_template(
        powertools_server,
        Names(**{name: powertools_options[name] for name in ("schema", "prefix") & powertools_options.keys()}),
    )


@pytest.fixture(scope="session")
def _powertools_databases(powertools_server: str) -> Iterator[Any]:
    from .testing.databases import Databases

    server = Databases(powertools_server)
    yield server
    server.close()


@pytest.fixture
def powertools_dsn(_powertools_databases: Any, powertools_template: str) -> Iterator[str]:
    """The DSN of a database of the test's own, with both schemas."""
    with _powertools_databases.copy(powertools_template) as dsn:
        yield dsn


@pytest.fixture
def workflow_runner(powertools_dsn: str, powertools_options: dict[str, Any]) -> Iterator[Any]:
    """Runs workflows in this process without waiting, for asynchronous tests."""
    from .testing import WorkflowRunner

    with WorkflowRunner(powertools_dsn, **powertools_options) as runner:
        yield runner


@pytest.fixture
def sync_workflow_runner(powertools_dsn: str, powertools_options: dict[str, Any]) -> Iterator[Any]:
    """Runs workflows in this process without waiting, for tests without an event loop."""
    from .testing import SyncWorkflowRunner

    with SyncWorkflowRunner(powertools_dsn, **powertools_options) as runner:
        yield runner
