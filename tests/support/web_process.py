"""The real command ``powertools web`` as a process, with its address and its log."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.command import POWERTOOLS, environment

WITHIN = 30


class Serving:
    """A console that runs."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: Path) -> None:
        self.process = process
        self.address = address
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Its exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(WITHIN), time.monotonic() - began

    def get(self, path: str = "/", **options: Any) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", timeout=WITHIN, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        headers = {"Sec-Fetch-Site": "same-origin"}
        return httpx.post(f"{self.address}{path}", timeout=WITHIN, headers=headers, **options)


@contextmanager
def web_process(dsn: str | None, folder: Path, *arguments: str, **env: str) -> Iterator[Serving]:
    """``powertools web`` on a free port, in this folder; killed at the end if it still runs."""
    log = folder / "web.log"
    with log.open("w") as err:
        process = subprocess.Popen(
            [POWERTOOLS, "web", "--port", "0", *arguments],
            cwd=folder,
            env=environment(dsn, **env),
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://"), log.read_text()
        yield Serving(process, line.strip().rstrip("/"), log)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
