"""A night on call: an application of several processes, what goes wrong in it, and the person who is called.

The person types nothing but what the screen before has printed. What happens is done by real processes: workers are
``powertools start``, commands are ``powertools``, and a supervisor starts again what ends.
"""

import asyncio
import re
import shlex
import subprocess
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

from oban import Job

from oban_powertools import Powertools, Workflow
from tests.support.command import POWERTOOLS, Worker, environment, worker
from tests.support.ledger import eventually

WITHIN: Final = 90
"""Seconds that anything may take; far above what it needs."""

SHOP: Final = """
import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

from oban import worker
from oban_powertools import Settings

quick = Settings(
    executor_gone_after=timedelta(seconds=15),
    executor_late_after=timedelta(seconds=8),
    executor_missing_after=timedelta(seconds=60),
    sweep_every=timedelta(seconds=0.25),
    incidents_every=timedelta(seconds=0.5),
)


class Quick:
    max_attempts = 1

    def backoff(self, job):
        return 1


@worker(queue="orders", max_attempts=5)
class Print(Quick):
    async def process(self, job):
        if job.attempt == 1:
            Path("printing").touch()
            await asyncio.sleep(600)


@worker(queue="reports", max_attempts=5)
class Compute(Quick):
    async def process(self, job):
        if job.attempt == 1:
            time.sleep(600)


@worker(queue="default", max_attempts=1)
class Charge(Quick):
    async def process(self, job):
        if not Path("the bank is back").exists():
            raise ConnectionError("the bank is down")


@worker(queue="images", max_attempts=9)
class Resize(Quick):
    async def process(self, job):
        if not Path("the library is mended").exists():
            os._exit(139)


@worker(queue="mail", max_attempts=5)
class Mail(Quick):
    async def process(self, job):
        pass


@worker(queue="default", max_attempts=5)
class Sync(Quick):
    async def process(self, job):
        if job.attempt == 1:
            await asyncio.Event().wait()


@worker(queue="default", max_attempts=5)
class Ship(Quick):
    async def process(self, job):
        pass
"""

LATER: Final = """
from oban import worker


@worker(queue="default", max_attempts=5)
class Invoice:
    async def process(self, job):
        pass
"""


TRIED_FOR_LONG: Final = """
UPDATE oban_jobs SET scheduled_at = scheduled_at + interval '5 min'
WHERE worker = 'invoices.Invoice' AND state = 'retryable'
"""
"""As after an hour: a job whose worker cannot be imported is tried again after ever longer pauses."""


def commands_on(screen: str) -> list[str]:
    """What the screen says to type next, the most obvious first."""
    found = (re.fullmatch(r"\s*(?:next: |or: )((?:powertools|kill) .*)", line) for line in screen.splitlines())
    return [match[1] for match in found if match]


def as_typed(command: str) -> str:
    """With a reason where the screen leaves room for one."""
    return command.replace('"..."', '"its cause is gone"')


class Night:
    """The application: its processes, which a supervisor starts again, and a person on call."""

    def __init__(self, dsn: str, directory: Path, application: Powertools) -> None:
        self.dsn = dsn
        self.directory = directory
        self.application = application
        self.running: dict[str, Worker] = {}
        self.screens: list[str] = []
        self._supervised: list[asyncio.Task[None]] = []
        self._processes = ExitStack()
        (directory / "shop.py").write_text(SHOP)

    # The application

    async def supervise(self, *queues: str) -> None:
        """Start a worker of each of these queues, and another one whenever it ends."""
        await asyncio.gather(*(self._start(f"--queues={queue}:5", of=queue) for queue in queues))
        self._supervised += [asyncio.create_task(self._restart(queue)) for queue in queues]

    async def _start(self, *arguments: str, of: str) -> None:
        env = {"POWERTOOLS_SETTINGS": "shop:quick"}
        self.running[of] = self._processes.enter_context(worker(*arguments, dsn=self.dsn, cwd=self.directory, **env))
        await asyncio.to_thread(self.running[of].read_until, "working on")

    async def _restart(self, queue: str) -> None:
        while True:
            await asyncio.to_thread(self.running[queue].end)
            await self._start(f"--queues={queue}:5", of=queue)

    async def submit(self, worker: str, **options: Any) -> None:
        """A workflow of one step."""
        workflow = Workflow(worker.rpartition(".")[2].lower())
        workflow.add("run", Job(worker, **options))
        await self.application.workflows.insert(workflow)

    def create(self, name: str, text: str = "") -> None:
        """What makes a worker go on as it should."""
        (self.directory / name).write_text(text)

    async def until(self, name: str) -> None:
        """Wait until a worker has written this file."""

        async def written() -> bool:
            return (self.directory / name).exists()

        await eventually(written, within=WITHIN)

    def goes_on(self, happens: Callable[["Night"], Coroutine[Any, Any, None]]) -> None:
        """Have this go on happening meanwhile."""
        self._supervised.append(asyncio.create_task(happens(self)))

    async def stop(self) -> None:
        for task in self._supervised:
            task.cancel()
        self._processes.close()
        await asyncio.gather(*self._supervised, return_exceptions=True)

    # The person

    async def type(self, command: str) -> str:
        """The screen after a command, in which the person writes the reason."""
        typed = as_typed(command)
        words = shlex.split(typed, comments=True)
        if words[0] == "kill":
            await asyncio.to_thread(subprocess.run, words, check=True)
            screen = ""
        elif words[:2] == ["powertools", "start"]:
            await self._start(*words[2:], of=typed)
            screen = ""
        else:
            screen = await asyncio.to_thread(self._run, *words[1:])
        self.screens.append(f"$ {typed}\n{screen}")
        return screen

    def _run(self, *words: str) -> str:
        ended = subprocess.run(
            [POWERTOOLS, *words],
            cwd=self.directory,
            env=environment(self.dsn, POWERTOOLS_ACTOR="grace", PYTHONUNBUFFERED="1"),
            timeout=WITHIN,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, (words, ended.stdout)
        return ended.stdout


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that goes wrong, and what a person does about its cause."""

    incident_class: str
    happens: Callable[[Night], Awaitable[None]]
    is_mended: Callable[[Night], None] = lambda _: None
    """What somebody does outside of Powertools before the repair."""
    queues: Sequence[str] = ()
    """What is worked on, by a process each."""


async def _is_killed(night: Night) -> None:
    await night.submit("shop.Print", queue="orders", max_attempts=5)
    await night.until("printing")
    night.running["orders"].signal(SIGKILL)


async def _blocks_its_loop(night: Night) -> None:
    await night.submit("shop.Compute", queue="reports", max_attempts=5)


async def _fails_always(night: Night) -> None:
    for _ in range(3):
        await night.submit("shop.Charge", max_attempts=1)
    night.goes_on(_customers_order)


async def _customers_order(night: Night) -> None:
    while not (night.directory / "the bank is back").exists():
        await asyncio.sleep(2)
        await night.submit("shop.Charge", max_attempts=1)


async def _kills_its_process(night: Night) -> None:
    await night.submit("shop.Resize", queue="images", max_attempts=9)


async def _has_no_worker(night: Night) -> None:
    await night.submit("shop.Mail", queue="mail", max_attempts=5)


async def _sends_to_nobody(night: Night) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="order-7")
    await night.application.workflows.insert(workflow)
    await night.application.workflows.signal("payment", "Order 7", {"paid": True})


async def _lacks_a_module(night: Night) -> None:
    await night.submit("invoices.Invoice", max_attempts=5)

    async def tried() -> bool:
        async with night.application.connect() as conn:
            return (await conn.execute(TRIED_FOR_LONG)).rowcount == 1

    await eventually(tried, within=WITHIN)


async def _loses_a_row(night: Night) -> None:
    await night.submit("shop.Ship", max_attempts=5, schedule_in=3600)
    async with night.application.connect() as conn:
        await conn.execute("DELETE FROM oban_jobs WHERE worker = 'shop.Ship'")


async def _tells_nobody(_: Night) -> None:
    """Nobody works on the queue of the deliveries from the start."""


async def _hangs(night: Night) -> None:
    await night.submit("shop.Sync", max_attempts=5)


TROUBLES: Final = {
    "an unserved webhook queue": Trouble(incident_class="webhook_unserved", happens=_tells_nobody),
    "a worker that always fails": Trouble(
        incident_class="failing_jobs", happens=_fails_always, is_mended=lambda night: night.create("the bank is back")
    ),
    "a deleted job row": Trouble(incident_class="outside_edit", happens=_loses_a_row),
    "a misdirected signal": Trouble(incident_class="unclaimed_signal", happens=_sends_to_nobody),
    "a missing module": Trouble(
        incident_class="worker_not_importable",
        happens=_lacks_a_module,
        is_mended=lambda night: night.create("invoices.py", LATER),
    ),
    "a hung step": Trouble(incident_class="hung_jobs", happens=_hangs),
    "an unserved queue": Trouble(incident_class="workflow_stuck", happens=_has_no_worker),
    "a blocked loop": Trouble(incident_class="executor_late", happens=_blocks_its_loop, queues=["reports"]),
    "a killed worker": Trouble(incident_class="dead_executor", happens=_is_killed, queues=["orders"]),
    "a worker that kills its process": Trouble(
        incident_class="poison_job",
        happens=_kills_its_process,
        is_mended=lambda night: night.create("the library is mended"),
        queues=["images"],
    ),
}
"""What goes wrong, in the order in which it is repaired: nobody is told of anything before the first is."""
