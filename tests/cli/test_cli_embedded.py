"""Commands on the embedded PostgreSQL: who makes one, who is sent where, and that whoever ends leaves it."""

import fcntl
import signal
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from tests.support.command import POWERTOOLS, environment, powertools, worker

READ = [("workflow", "list"), ("doctor",), ("status",), ("upgrade",), ("watch",), ("events", "tail")]
"""Some that go to the database by each of the ways there are; only ``install`` and ``start`` make a server."""


@pytest.mark.parametrize("words", READ, ids=" ".join)
def test_a_mistyped_data_directory_is_refused_and_nothing_is_made(words: tuple[str, ...], tmp_path: Path) -> None:
    mistyped = tmp_path / "dtaa"

    ended = powertools(*words, "--data-directory", str(mistyped))

    assert ended.code == 2
    assert f"powertools install --data-directory {mistyped}" in ended.error
    assert not mistyped.exists()


def test_the_advice_to_install_has_the_options_that_name_the_database(empty_dsn: str) -> None:
    ended = powertools("workflow", "list", "--schema", "ours", dsn=empty_dsn)
    status = powertools("status", "--schema", "ours", dsn=empty_dsn)

    assert ended.error.endswith("run powertools install --schema ours")
    assert "powertools install --schema ours\n" in status.out


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_asked_to_end_leaves_the_server(asked: signal.Signals, server_directory: Path) -> None:
    directory = server_directory / "data"
    here = ("--data-directory", str(directory))
    assert powertools("install", *here).code == 0

    # Whoever runs the tests may ignore it (nohup), and a process inherits that.
    before = signal.signal(asked, signal.SIG_DFL)
    with subprocess.Popen(
        [POWERTOOLS, "events", "tail", *here], env=environment(None), stderr=subprocess.PIPE, text=True
    ) as tail:
        signal.signal(asked, before)
        assert tail.stderr is not None
        tail.stderr.readline()
        tail.send_signal(asked)
        code = tail.wait(30)

    assert code == 128 + asked
    assert is_stopped(directory)


def is_stopped(directory: Path) -> bool:
    """Whether no server holds the lock of its directory."""
    with (directory / "server.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_worker_opens_the_server_once(server_directory: Path, tmp_path: Path) -> None:
    here = ("--data-directory", str(server_directory / "data"))

    with worker(*here, "--queues", "default:1", dsn=None, cwd=tmp_path) as running:
        told = [*takewhile(lambda line: "working on" not in line, running._log)]
        running.signal(signal.SIGTERM)
        assert running.end() == 0

    assert len([line for line in told if "embedded PostgreSQL runs in" in line]) == 1
