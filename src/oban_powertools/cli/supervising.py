"""Run several worker processes of one command, and start each again when it ends; in development, when code changes.

A worker process is this very command with its place in the environment. The rule that must never break: no worker
process outlives this one for long, whatever ends it: the end of a pipe asks each to stop.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..privacy.logs import find_logger
from .exits import Exit

logger: Final = find_logger("oban_powertools.cli")

PLACE: Final = "POWERTOOLS_WORKER_PROCESS"
"""Environment of a worker process: its number and the file descriptor of the pipe, as in ``0:7``."""

FIRST_PAUSE: Final = 1.0
"""Seconds until a process that ended is started again; they double each time."""
LONGEST_PAUSE: Final = 30.0
STEADY_AFTER: Final = 60.0
"""Seconds after which a process counts as one that runs, and its next pause is the first again."""

_LOOK_EVERY: Final = 0.2
_LEFT_OUT: Final = frozenset({"node_modules", "site-packages", "__pycache__"})


def find_place() -> int | None:
    """The number of this worker process; None where nobody supervises it. It stops when its supervisor has ended."""
    if (place := os.environ.pop(PLACE, None)) is None:
        return None
    number, _, pipe = place.partition(":")
    threading.Thread(target=_stop_at_the_end_of, args=(int(pipe),), name="powertools-supervisor", daemon=True).start()
    return int(number)


def _stop_at_the_end_of(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True)
class _Slot:
    """One worker process, and when it may start again."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    pause: float = FIRST_PAUSE


class Supervisor:
    """Runs worker processes until a signal says stop.

    Args:
        processes: How many.
        watch: Start all again when a Python file below this directory changes; None for never.
    """

    def __init__(self, processes: int, watch: Path | None) -> None:
        self._slots = [_Slot(number) for number in range(processes)]
        self._watch = watch
        self._seen = self._look()
        self._stopping = threading.Event()
        self._code: int = Exit.DONE
        self._reading, self._writing = os.pipe()

    def run(self) -> int:
        """Until all have ended; the exit code of the worst."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda each, _: self._forward(each))
        while not self._stopping.is_set() or any(slot.process for slot in self._slots):
            for slot in self._slots:
                self._tend(slot)
            self._reload()
            time.sleep(_LOOK_EVERY)
        return self._code

    def _tend(self, slot: _Slot) -> None:
        if slot.process is not None and (code := slot.process.poll()) is not None:
            self._notice(slot, code)
        if slot.process is None and not self._stopping.is_set() and time.monotonic() >= slot.due_at:
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        environment = {**os.environ, PLACE: f"{slot.number}:{self._reading}"}
        # In a session of its own: Ctrl+C reaches it once, through us.
        slot.process = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]], env=environment, pass_fds=[self._reading], start_new_session=True
        )
        slot.started_at = time.monotonic()
        logger.info("worker process %d started: pid %d", slot.number, slot.process.pid)

    def _notice(self, slot: _Slot, code: int) -> None:
        slot.process = None
        if self._stopping.is_set():
            # One that was just starting did not handle the signal yet.
            self._code = max(self._code, 0 if -code in (signal.SIGTERM, signal.SIGINT) else abs(code))
        elif code == Exit.USAGE:
            # It would end so each time.
            self._code = code
            self._forward(signal.SIGTERM)
        elif code == Exit.DONE and self._watch is not None:
            slot.due_at = 0.0
        else:
            slot.pause = FIRST_PAUSE if time.monotonic() - slot.started_at > STEADY_AFTER else slot.pause
            slot.due_at = time.monotonic() + slot.pause
            logger.warning("worker process %d ended (%d); it starts again in %.0f s", slot.number, code, slot.pause)
            slot.pause = min(LONGEST_PAUSE, 2 * slot.pause)

    def _forward(self, number: int) -> None:
        self._stopping.set()
        self._signal(number)

    def _signal(self, number: int) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.send_signal(number)

    def _reload(self) -> None:
        if self._watch is None or self._stopping.is_set() or (seen := self._look()) == self._seen:
            return
        self._seen = seen
        logger.info("code has changed: starting again once running jobs have ended")
        self._signal(signal.SIGTERM)
        for slot in self._slots:
            slot.due_at = 0.0

    def _look(self) -> dict[str, int]:
        return {} if self._watch is None else dict(_changes_below(self._watch))


def _changes_below(directory: Path) -> Iterator[tuple[str, int]]:
    """Each Python file below a directory, with the instant of its last change."""
    for place, folders, files in os.walk(directory):
        folders[:] = [folder for folder in folders if folder not in _LEFT_OUT and not folder.startswith(".")]
        for path in (Path(place, file) for file in files if file.endswith(".py")):
            try:
                yield str(path), path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
