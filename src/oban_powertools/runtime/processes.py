"""Identify this process, and find out whether another one of this machine has ended.

Linux only; elsewhere the answer is unknown. A process is identified by its boot, its pid namespace, its pid and its
start: never by a host name, which containers and restored machines share. The rule that must never break: what cannot
be read proves nothing.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")

_NAMESPACES: Final = ("pid", "time")
"""The namespaces that a pid, and a start in ticks since the boot, are relative to."""

_DEAD: Final = frozenset("ZXx")
"""States of a process that has ended and whose parent has not collected its exit code yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of one boot of one machine."""

    host: str
    """Hash of the machine's id, its boot's id and the namespaces: equal where one process can see the other."""

    pid: int
    """Its process id in its pid namespace."""

    ticks: int
    """When it started, in the kernel's ticks since the boot: tells it from others that had the same pid."""


def this_process() -> Process | None:
    """This process; None where the system reveals too little."""
    host, pid = _host(), os.getpid()
    ticks = _ticks(pid)
    return Process(host=host, pid=pid, ticks=ticks) if host is not None and ticks is not None else None


def has_ended(pid: int, ticks: int) -> bool:
    """Whether this process of this host has certainly ended; False when that is unknown."""
    try:
        # Asks the kernel: /proc may hide the processes of other users.
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    fields = _fields(pid)
    if fields is None:
        return False
    if int(fields[19]) != ticks:
        return True
    return fields[0] in _DEAD and _threads(pid) <= 1


def find_ended(processes: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these processes, by pid and ticks, that have certainly ended; each is looked at once."""
    return {process for process in set(processes) if has_ended(*process)}


def _host() -> str | None:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        spaces = [
            (_PROC / "self/ns" / name).stat().st_ino for name in _NAMESPACES if (_PROC / "self/ns" / name).exists()
        ]
    except OSError:
        return None
    if not boot or not spaces:
        return None
    return hashlib.sha256(f"{_machine()}:{boot}:{spaces}".encode()).hexdigest()[:32]


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""  # as in many containers; the boot's id alone is as good on one kernel


def _ticks(pid: int) -> int | None:
    fields = _fields(pid)
    return None if fields is None else int(fields[19])


def _fields(pid: int) -> list[str] | None:
    """The fields of a process in /proc from its state on: proc(5), field 3 is the first here."""
    try:
        # The name, in parentheses, may hold blanks and parentheses itself.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None


def _threads(pid: int) -> int:
    try:
        return len(list((_PROC / str(pid) / "task").iterdir()))
    except OSError:
        return 0
