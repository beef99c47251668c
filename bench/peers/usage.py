"""What processes used, and how much of the machine somebody else used meanwhile."""

import threading
from collections.abc import Iterable

import psutil

LOOK_EVERY = 0.5
"""Seconds between two looks at the resident memory."""


class Meter:
    """CPU and memory of the workers, from its beginning to ``stop``.

    Args:
        workers: Their process ids; what they have started counts too.
        ours: Everybody else who takes part: the client, the servers.
    """

    def __init__(self, workers: Iterable[int], ours: Iterable[int]) -> None:
        self._workers = _with_children(workers)
        self._roots = [psutil.Process(), *_existing(ours)]
        self._cpu, self._ours, self._machine = _cpu(self._workers), self._cpu_of_ours(), _busy()
        self._peak = _rss(self._workers)
        self._ended = threading.Event()
        self._looker = threading.Thread(target=self._look, daemon=True)
        self._looker.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self._peak = max(self._peak, _rss(self._workers))

    def _cpu_of_ours(self) -> float:
        """Of children that have ended too: PostgreSQL's backends."""
        return _cpu(_with_children([p.pid for p in self._roots])) + sum(_cpu_of_ended(p) for p in self._roots)

    def stop(self, seconds: float) -> dict[str, float]:
        """The figures of a run that took so long."""
        cpu, busy = _cpu(self._workers) - self._cpu, _busy() - self._machine
        ours = cpu + self._cpu_of_ours() - self._ours
        self._ended.set()
        self._looker.join()
        return {
            "cpu_seconds": cpu,
            "rss_bytes": max(self._peak, _rss(self._workers)),
            "others": max(0.0, (busy - ours) / (seconds * (psutil.cpu_count() or 1))),
        }


def _existing(pids: Iterable[int]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def _with_children(pids: Iterable[int]) -> list[psutil.Process]:
    return [one for process in _existing(pids) for one in (process, *process.children(recursive=True))]


def _cpu(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return total


def _cpu_of_ended(process: psutil.Process) -> float:
    used = process.cpu_times()
    return getattr(used, "children_user", 0.0) + getattr(used, "children_system", 0.0)


def _rss(processes: Iterable[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _busy() -> float:
    used = psutil.cpu_times()
    return sum(used[:8] if len(used) >= 8 else used) - used.idle - getattr(used, "iowait", 0.0)
