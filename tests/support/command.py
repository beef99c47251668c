"""The real command ``powertools``, run as a process: plainly, on a terminal, or as a worker that stays."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

POWERTOOLS = str(Path(sys.executable).with_name("powertools"))
WITHIN = 50
"""Seconds a command may take; far above what it needs."""
NOWHERE = "/nonexistent/powertools-tests"
"""Where no embedded server lies."""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The only line on stderr, which must be one of error; in JSON its message."""
        [line] = self.err.splitlines()
        if line.startswith("{"):
            return json.loads(line)["error"]["message"]
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


def environment(dsn: str | None, **more: str) -> dict[str, str]:
    """Ours without any setting of Oban, PostgreSQL or a terminal, and no server at home, but this database."""
    others = ("OBAN_", "POWERTOOLS_", "PG", "NO_COLOR", "COLUMNS", "LINES")
    ours = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return {**ours, "XDG_DATA_HOME": NOWHERE, **({"OBAN_DSN": dsn} if dsn else {}), **more}


def powertools(*arguments: str, dsn: str | None = None, cwd: Path | None = None, stdin: str = "", **env: str) -> Ended:
    """Run to the end, with nobody to answer; ``stdin`` is what a pipe brings."""
    done = subprocess.run(
        [POWERTOOLS, *arguments],
        cwd=cwd or "/",
        env=environment(dsn, **env),
        timeout=WITHIN,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


class Terminal:
    """A command whose stdin, stdout and stderr are a terminal."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._process = process
        self.shown = ""

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            assert self._read(), f"ended without {text!r}: {self.shown!r}"

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C until it has ended: CPython loses one between showing a prompt and reading. The exit code."""
        shows = True
        while shows:
            self.type("\x03")
            while shows and select.select([self._master], [], [], 2)[0]:
                shows = self._read()
        return self._process.wait(WITHIN)

    def end(self) -> int:
        """The exit code, with everything shown."""
        while self._read():
            pass
        return self._process.wait(WITHIN)

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux says that the other end is closed
            data = b""
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)


@contextmanager
def on_a_terminal(*arguments: str, dsn: str | None, columns: int = 80, **env: str) -> Iterator[Terminal]:
    master, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [POWERTOOLS, *arguments],
        cwd="/",
        env=environment(dsn, **env),
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(other)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


class Worker:
    """A running ``powertools start``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stderr is not None
        self._log: IO[str] = process.stderr
        self.pid = process.pid

    def read_until(self, text: str) -> str:
        """The first line of its log that holds the text."""
        seen: list[str] = []
        for line in self._log:
            seen.append(line)
            if text in line:
                return line
        raise AssertionError(f"ended without {text!r}: {''.join(seen)}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """The exit code."""
        self._log.read()
        return self._process.wait(WITHIN)


@contextmanager
def worker(*arguments: str, dsn: str | None, cwd: Path, **env: str) -> Iterator[Worker]:
    process = subprocess.Popen(
        [POWERTOOLS, "start", *arguments], cwd=cwd, env=environment(dsn, **env), stderr=subprocess.PIPE, text=True
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.communicate()
