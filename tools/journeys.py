"""Walk a journey through the package, and print which files one has to open to follow it, in their order.

    python -m tools.journeys            # those of docs/design/where-is-what.md whose way is in Python, in figures
    python -m tools.journeys repair     # one of them, with the functions that lead into each file

How it counts. A **walk** is the list of the functions that a journey calls, each at its first call: one reads a
function once. A **stay** is a stretch of the walk in one file. To go on with a function that has called another is no
new stay, because its page is still open. A **return** is a stay in a file that was left before: a walk has as many of
them as it has stays more than files. Read on the way, without opening a file, are properties, class methods (they make
a value), special methods that make, compare or print one, and lambdas and inner functions, which stand in the function
that is being read. A journey names the rooms that it leads through; others are no stay: what all rooms stand on
(``database``, ``errors``, ``privacy``, ``arguments`` ...), and what another journey is about.

By this count the journey of a repair had 31 stays in 11 files before the house got its rooms.
"""

import asyncio
import inspect
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import psycopg

import oban_powertools
from oban_powertools import schema
from oban_powertools.embedded import start_embedded
from oban_powertools.events import Subscription
from oban_powertools.runtime.oban_attempts import GuardedExecutor
from tests.support.by_hand import Hand, by_hand, chain
from tests.support.ledger import eventually

SOURCES: Final = f"{Path(oban_powertools.__file__).parent}/"
OPERATOR: Final = {"id": "ops-1"}
REASON: Final = "because the bank is back"

_VALUES: Final = frozenset({"__init__", "__post_init__", "__str__", "__repr__", "__eq__", "__hash__", "__contains__"})
_TOOL: Final = 4
"""A number for ``sys.monitoring`` that no debugger, profiler or measure of coverage has."""

_walking: ContextVar["Walk | None"] = ContextVar("walking", default=None)


@dataclass(frozen=True, slots=True)
class Step:
    """A function at its first call."""

    file: str
    """Where it stands, from the package on."""

    name: str
    """With its class."""

    caller: str | None
    """The function that calls it; None where the journey begins, or goes on in another task."""


@dataclass(slots=True)
class Walk:
    """The functions of a journey, in the order of their first calls.

    Args:
        rooms: Beginnings of the files that are walked.
    """

    rooms: tuple[str, ...]
    steps: list[Step] = field(default_factory=list[Step])
    _read: set[CodeType] = field(default_factory=set[CodeType])
    _passed: dict[int, FrameType] = field(default_factory=dict[int, FrameType])

    @property
    def stays(self) -> list[tuple[str, list[Step]]]:
        """A file, and what is read in it until the next."""
        return [(file, list(steps)) for file, steps in groupby(self.steps, key=lambda step: step.file)]

    @property
    def files(self) -> list[str]:
        """The files, in the order in which they are first opened."""
        return list(dict.fromkeys(step.file for step in self.steps))

    @property
    def returns(self) -> int:
        """How often a file is opened again."""
        return len(self.stays) - len(self.files)

    def forget(self) -> None:
        """Begin anew: the way until here is no part of the journey."""
        self.steps.clear()
        self._read.clear()

    def enter(self, frame: FrameType) -> None:
        """Walk into a function, unless it was read before or is read on the way."""
        file = self._find_file(frame)
        if file is None:
            return
        if frame.f_code in self._read or _is_read_on_the_way(frame):
            # Kept, so that no other frame gets the same id.
            self._passed[id(frame)] = frame
            return
        self._read.add(frame.f_code)
        caller = self._find_caller(frame)
        if caller is None:
            self.steps.append(Step(file, frame.f_code.co_qualname, None))
        elif self._find_file(caller) != file:
            if not self.steps:
                self._begin_at(caller)
            self.steps.append(Step(file, frame.f_code.co_qualname, caller.f_code.co_qualname))

    def _begin_at(self, caller: FrameType) -> None:
        # It ran before the walk began, as loops do.
        self._read.add(caller.f_code)
        self.steps.append(Step(self._find_file(caller) or "", caller.f_code.co_qualname, None))

    def _find_caller(self, frame: FrameType) -> FrameType | None:
        caller = frame.f_back
        while caller is not None and (self._find_file(caller) is None or id(caller) in self._passed):
            caller = caller.f_back
        return caller

    def _find_file(self, frame: FrameType) -> str | None:
        file = frame.f_code.co_filename
        inside = file.removeprefix(SOURCES)
        return inside if inside != file and inside.startswith(self.rooms) else None


def _is_read_on_the_way(frame: FrameType) -> bool:
    of_class, _, name = frame.f_code.co_qualname.rpartition(".")
    if name in _VALUES or of_class.endswith("<locals>"):
        return True
    kind = frame.f_globals.get(of_class)
    return isinstance(inspect.getattr_static(kind, name, None), property | classmethod)


def _on_start(*_: object) -> None:
    if (walk := _walking.get()) is not None:
        walk.enter(sys._getframe(1))


@contextmanager
def walking(walk: Walk) -> Iterator[None]:
    """Walk what is called in this context, and in the tasks and threads that are started in it meanwhile."""
    monitoring = sys.monitoring
    monitoring.use_tool_id(_TOOL, "journeys")
    monitoring.register_callback(_TOOL, monitoring.events.PY_START, _on_start)
    monitoring.set_events(_TOOL, monitoring.events.PY_START)
    before = _walking.set(walk)
    try:
        yield
    finally:
        _walking.reset(before)
        monitoring.set_events(_TOOL, 0)
        monitoring.free_tool_id(_TOOL)


async def insert(hand: Hand) -> Walk:
    """A workflow, from ``insert`` to rows."""
    walk, workflow = Walk(("workflows/", "operators/")), chain(2)
    with walking(walk):
        await hand.workflows.insert(workflow)
    return walk


async def result(hand: Hand) -> Walk:
    """A worker's result, to its step's row."""
    walk, workflow_id = Walk(("runtime/", "workflows/")), await hand.insert(chain(2))
    [job] = await hand.start((await hand.job(workflow_id, "s0")).id)
    job.extra = {"outcome": {"paid": 3}}
    with walking(walk):
        executor = await GuardedExecutor(job, lambda: False).execute()
        await hand.ack(executor.action)
    return walk


async def repair(hand: Hand) -> Walk:
    """A repair, from preview to execution."""
    walk, workflow_id = Walk(("lifeline/", "operators/audit/")), await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("the bank is away")})
    lifeline = hand.powertools.lifeline
    with walking(walk):
        preview = await lifeline.preview_repair(
            OPERATOR, action="step_retry", target_type="step", target_id=f"{workflow_id}/s0"
        )
        await lifeline.execute_repair(OPERATOR, preview.preview_token or "", REASON)
    return walk


async def event(hand: Hand) -> Walk:
    """An event, to its subscriber."""
    walk = Walk(("events/",))
    begun: asyncio.Queue[Subscription[Any]] = asyncio.Queue()

    async def subscriber() -> None:
        async with hand.powertools.events.subscribe_all() as subscription:
            begun.put_nowait(subscription)
            async for event in subscription:
                if event.workflow_label == "chain":
                    break

    async def listening() -> bool:
        listener = hand.powertools.events._feed._listener
        return listener is not None and listener.working

    with walking(walk):
        following = asyncio.create_task(subscriber())
        await begun.get()
        await eventually(listening)
        walk.forget()
        _walking.set(None)
        await hand.insert(chain(1))
        await following
    return walk


JOURNEYS: Final[dict[str, Callable[[Hand], Awaitable[Walk]]]] = {
    "insert": insert,
    "result": result,
    "repair": repair,
    "event": event,
}


def report(title: str, walk: Walk, *, whole: bool) -> str:
    """The walk in figures; or its stays, with the functions of each."""
    summary = f"{title}: {len(walk.stays)} stays in {len(walk.files)} files, {walk.returns} returns"
    if not whole:
        return f"{summary}\n  {' > '.join(file for file, _ in walk.stays)}"
    lines = [f"{n:4}  {file}: {', '.join(s.name for s in steps)}" for n, (file, steps) in enumerate(walk.stays, 1)]
    return "\n".join([summary, *lines])


@asynccontextmanager
async def _a_hand() -> AsyncIterator[Hand]:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101 - PostgreSQL may run as another user
        server = start_embedded(Path(directory))
        try:
            async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as conn:
                await schema.install(conn)
            async with by_hand(server.dsn, turbo=True) as hand:
                yield hand
        finally:
            server.stop()


async def main(names: list[str]) -> None:
    """Walk these journeys; all of them in figures when none is named."""
    async with _a_hand() as hand:
        for name in names or JOURNEYS:
            print(report((JOURNEYS[name].__doc__ or name).rstrip("."), await JOURNEYS[name](hand), whole=bool(names)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
