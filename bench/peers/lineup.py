"""Who takes part, with which settings, and what work they are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from bench.peers.work import Peer, Work

LIMITS: Final = (100, 20)
"""Steps at a time in one process."""
OURS: Final = "powertools"
BASE: Final = "absurd"
"""To whom ratios are: the fastest durable peer."""
OTHERS: Final = ("absurd", "dbos", "celery", "chancy", "procrastinate", "pgqueuer")
FIXED: Final[Mapping[str, int]] = {"celery": 2}
"""Systems with one setting of their own, whatever is asked for."""

WORK: Final[Mapping[str, Work]] = {
    "W1": Work(shape="chain", count=200, size=10),
    "W2": Work(shape="fan", count=20, size=100),
    "W3": Work(shape="fan", count=1, size=2000),
}
SMALL: Final[Mapping[str, Work]] = {
    "W1": Work(shape="chain", count=10, size=5),
    "W2": Work(shape="fan", count=2, size=20),
    "W3": Work(shape="fan", count=1, size=50),
}
"""For a trial, whose figures mean nothing."""
HOP: Final = 10
"""Steps of one chain of W4."""
HISTORY: Final = Work(shape="chain", count=1000, size=10)
"""How history is made for W5, again and again: executed, not copied."""
LARGE: Final[Mapping[str, Mapping[str, Work]]] = {
    "10,000 workflows of 10 steps": {"W1": Work(shape="chain", count=10_000, size=10)},
    "one workflow of 100,002 steps": {"W3": Work(shape="fan", count=1, size=100_000)},
}
"""Submissions that are large, and under which workload they are in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One system in one setting: a row of the table."""

    system: str
    limit: int
    processes: int = 1
    condition: str = ""
    payload: int = 0
    """Bytes of a step's result."""
    work: Mapping[str, Work]
    hops: bool = True
    """Whether W4 is measured too."""
    history: bool = False
    """Whether W5 is measured too."""

    def __str__(self) -> str:
        how = f"{self.processes} x {self.limit}" if self.processes > 1 else f"{self.limit}"
        notes = [self.condition, f"results of {self.payload // 1000} kB" if self.payload else ""]
        return ", ".join([self.system, how, *(note for note in notes if note)])


def peer_of(system: str) -> type[Peer]:
    """The class that knows the system."""
    return import_module(f"bench.peers.systems.{system}").System


def among_peers(systems: Sequence[str], limits: Sequence[int] = LIMITS, *, small: bool = False) -> list[Candidate]:
    """Us and these, each with these steps at a time; everybody is given the same."""
    work = SMALL if small else WORK
    return [
        Candidate(system=system, limit=limit, work=work, history=limit == LIMITS[0] or system in FIXED)
        for system in systems
        for limit in ((FIXED[system],) if system in FIXED else limits)
    ]


def plain_jobs(*, small: bool = False) -> list[Candidate]:
    """Oban's own jobs, without us and with us."""
    conditions = ("", "with Powertools", "with Powertools, turbo off")
    work = SMALL if small else WORK
    return [Candidate(system="oban", limit=100, condition=condition, work=work) for condition in conditions]


def turbo_off() -> list[Candidate]:
    """Ourselves as it is without turbo: Oban's own acks and inserts, row by row."""
    return [Candidate(system=OURS, limit=100, condition="turbo off", work=WORK)]


def conditions() -> list[Candidate]:
    """Ourselves in other conditions than alone on an empty database."""
    only_w1 = {"W1": WORK["W1"]}
    return [
        *(Candidate(system=OURS, limit=100, processes=n, work=WORK) for n in (2, 4)),
        *turbo_off(),
        Candidate(system=OURS, limit=100, condition="10,000 open workflows", work=WORK),
        Candidate(system=OURS, limit=100, condition="200 subscribers", work=WORK, hops=False),
        Candidate(system=OURS, limit=100, condition="event log off", work=WORK),
        *(
            Candidate(system=one, limit=100, payload=10_000, work=only_w1, hops=False)
            for one in (OURS, "absurd", "dbos")
        ),
        *(
            Candidate(system=OURS, limit=100, condition=condition, work=work, hops=False)
            for condition, work in LARGE.items()
        ),
    ]
