"""What every system is given to do, and the interface through which it is given.

Steps are numbered. A step's code notes its number (``ran``), so that a run in which a step was left out, or ran twice,
is found whatever the system itself says.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import psycopg


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Some workflows of one shape, submitted at once."""

    shape: Literal["chain", "fan"]
    """A chain of ``size`` steps; or one step, ``size`` at once, and one that needs them all."""
    count: int
    """Workflows."""
    size: int

    @property
    def numbers(self) -> list[int]:
        """The numbers of one workflow's steps."""
        if self.shape == "chain":
            return list(range(self.size))
        return [0, *range(self.size), self.size]

    @property
    def steps(self) -> int:
        return self.count * len(self.numbers)

    @property
    def sum(self) -> int:
        """Of the numbers of all steps."""
        return self.count * sum(self.numbers)

    @property
    def is_one_chain(self) -> bool:
        """As in W4: where the time from a step to the next one is what counts."""
        return self.shape == "chain" and self.count == 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Peer(ABC):
    """A system: one object in the process that submits, another one in each process that works.

    Args:
        uri: A database of its own.
        limit: Steps at a time in one process.
        condition: What else is so in this run; empty for nothing else.
    """

    requires: ClassVar[Sequence[str]] = ()
    """What is installed for it, by name, from the package index."""
    versions_of: ClassVar[Sequence[str]] = ()
    """The packages whose versions a reader wants to know."""
    about: ClassVar[str]
    """What it is, and how it was set for this, if not as it comes."""
    lacks: ClassVar[str]
    """What it does not do that Powertools does in the same run."""
    has_workflows: ClassVar[bool] = True
    """Whether it knows steps that need others; else it is given jobs without dependencies."""
    works_where_it_submits: ClassVar[bool] = False
    """Whether the steps run in the submitting process and no worker is started."""

    def __init__(self, uri: str, limit: int, condition: str) -> None:
        self.uri = uri
        self.limit = limit
        self.condition = condition

    @abstractmethod
    def install(self) -> None:
        """Make its tables in the new database."""

    @abstractmethod
    def open(self) -> None:
        """Be ready to submit."""

    @abstractmethod
    def submit(self, work: Work) -> Sequence[Any]:
        """Define the workflows and submit them; their ids."""

    @abstractmethod
    def count_ended(self, ids: Sequence[Any]) -> int:
        """How many of them have ended well, by the system's own durable record."""

    @abstractmethod
    def count_recorded(self) -> int:
        """How many steps' results its store holds; 0 where it stores none."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing running or open."""

    @abstractmethod
    def work(self, ready: Callable[[], None]) -> None:
        """Call ``ready`` when steps can be taken, and take them until the process is terminated."""

    def look(self) -> psycopg.Connection[Any]:
        """A connection to look on, the same each time."""
        if not hasattr(self, "_conn"):
            self._conn = psycopg.connect(self.uri, autocommit=True)
        return self._conn

    def scalar(self, query: str, *args: object) -> int:
        row = self.look().execute(query.encode(), args).fetchone()
        assert row is not None
        return row[0]


def payload() -> int:
    """Bytes that a step's result holds beside its number."""
    return int(os.environ.get("BENCH_PAYLOAD", "0"))
