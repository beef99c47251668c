"""Wait for workflows to end: one query a tick for all callers that wait in this process.

The rules that must never break: the database is asked, never a notification alone (invariant/I5); and waiting goes on
while the database is away.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg_pool import PoolClosed

from ..database import Connect
from ..database.sqlstates import Trouble, find_trouble
from ..errors import AnotherLoopError, PowertoolsClosedError, StepNotCompletedError, WaitTimeoutError
from ..privacy.logs import find_logger
from ..states import StepState, WorkflowId
from .reads import get_result, get_workflow
from .records import WorkflowRecord

logger: Final = find_logger(__name__)

_FIRST_TICK: Final = 0.005
_LONGEST_TICK: Final = 0.25
_RANDOM: Final = random.SystemRandom()


async def outlasting[T](ask: Callable[[], Awaitable[T]], within: timedelta | None = None) -> T:
    """Repeat a query until the database answers, however long it is away.

    Args:
        within: Time after which its error is raised; None for never.

    Raises:
        PowertoolsClosedError: Powertools was left, or never entered and its Oban stopped.
    """
    pause, began_at = _FIRST_TICK, time.monotonic()
    while True:
        try:
            return await ask()
        except PoolClosed as error:
            raise PowertoolsClosedError from error
        except (psycopg.Error, OSError) as error:
            # A lost connection, a server that is away or short of something for a moment: any other error would come
            # again.
            if find_trouble(error) is Trouble.REFUSED:
                raise
            if pause == _FIRST_TICK:
                logger.warning("waiting on while the database is away: %s", error)
            if within is not None and time.monotonic() - began_at > within.total_seconds():
                raise
            pause = min(_LONGEST_TICK, pause * 2)
            await asyncio.sleep(pause * _RANDOM.uniform(0.5, 1))


class Waiters:
    """All callers of this process that wait for a workflow's end.

    Ticks start at 5 ms when a new caller arrives and double up to 250 ms.

    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._waiting: dict[WorkflowId, list[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._tick = _FIRST_TICK

    async def wait(self, workflow_id: WorkflowId, *, timeout: timedelta | None = None) -> WorkflowRecord:
        """Wait until it has ended: what ``Workflows.wait`` and a handle do, with their arguments and errors."""
        if not await self._has_ended(workflow_id, timeout):
            raise WaitTimeoutError(workflow_id, timeout or timedelta(0))
        return await outlasting(lambda: self._get(workflow_id), timeout)

    async def result(self, workflow_id: WorkflowId, step: str, *, timeout: timedelta | None = None) -> Any:
        """Wait until a step has completed: what a handle's ``result`` does, with its errors; as plain JSON."""
        tick, began_at = _FIRST_TICK, time.monotonic()
        while True:
            state, result = await outlasting(lambda: self._get_result(workflow_id, step), timeout)
            if state is StepState.COMPLETED:
                return result
            if state.terminal:
                raise StepNotCompletedError(workflow_id, step, state)
            if timeout is not None and time.monotonic() - began_at >= timeout.total_seconds():
                raise WaitTimeoutError(workflow_id, timeout)
            await asyncio.sleep(tick)
            tick = min(_LONGEST_TICK, tick * 2)

    async def _get_result(self, workflow_id: WorkflowId, step: str) -> tuple[StepState, Any]:
        async with self._connect() as session:
            return await get_result(session, workflow_id, step)

    async def _get(self, workflow_id: WorkflowId) -> WorkflowRecord:
        async with self._connect() as session:
            return await get_workflow(session, workflow_id)

    async def _find_ended(self, ids: Sequence[WorkflowId]) -> Sequence[WorkflowId]:
        """Which of these workflows have ended, or do not exist?"""
        async with self._connect() as session:
            return [row["id"] for row in await session.all("unawaited_workflow_ids", {"ids": list(ids)})]

    async def _has_ended(self, workflow_id: WorkflowId, timeout: timedelta | None) -> bool:
        """Wait until it has; False when the time ran out first. Without any time, ask once."""
        if timeout is not None and timeout <= timedelta(0):
            return workflow_id in await outlasting(lambda: self._find_ended([workflow_id]), timedelta(0))
        loop = asyncio.get_running_loop()
        if self._task is not None and not self._task.done() and self._task.get_loop() is not loop:
            raise AnotherLoopError
        future = loop.create_future()
        self._waiting.setdefault(workflow_id, []).append(future)
        self._tick = _FIRST_TICK
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(), name="powertools-waiters")
        try:
            await asyncio.wait_for(future, None if timeout is None else timeout.total_seconds())
        except TimeoutError:
            return False
        finally:
            self._forget(workflow_id, future)
        return True

    async def stop(self) -> None:
        """Stop polling; those who still wait get an error."""
        self._fail(PowertoolsClosedError())
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def _forget(self, workflow_id: WorkflowId, future: asyncio.Future[None]) -> None:
        futures = self._waiting.get(workflow_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiting.pop(workflow_id, None)

    async def _poll(self) -> None:
        while self._waiting:
            try:
                ended = await outlasting(self._find_awaited)
            except (AnotherLoopError, PowertoolsClosedError) as error:
                self._fail(error)
                return
            except Exception as error:
                logger.exception("asking for the ends of %d workflows failed", len(self._waiting))
                self._fail(error)
                return
            for workflow_id in ended:
                for future in self._waiting.pop(workflow_id, []):
                    if not future.done():
                        future.set_result(None)
            await asyncio.sleep(self._tick)
            self._tick = min(_LONGEST_TICK, self._tick * 2)

    async def _find_awaited(self) -> Sequence[WorkflowId]:
        # All callers may have left when the database is back.
        return await self._find_ended(list(self._waiting)) if self._waiting else []

    def _fail(self, error: Exception) -> None:
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiting.clear()
