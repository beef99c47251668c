"""The runner for tests that are plain functions: the same one, on a loop of its own that runs while a call lasts."""

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..states import WorkflowId
from ..sync import SyncCalls, open_sync_calls
from ..workflows.records import SignalRecord
from .fakes import Fakes
from .ran import WorkflowRun
from .runner import PASSES_AT_MOST, Runnable, WorkflowRunner, everybody_may


class SyncWorkflowRunner:
    """As ``WorkflowRunner``, for a test without an event loop: the fixture ``sync_workflow_runner``.

    Args:
        dsn: A database of the test's own, with both schemas.
        options: As ``WorkflowRunner``'s.
    """

    dsn: str
    """The test's database, for what connects by itself."""

    calls: SyncCalls
    """Every call on that database, as ``open_sync_calls`` opens them."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self.dsn = dsn
        self._runner = WorkflowRunner(dsn, **options)
        self._loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        shared = {name: options[name] for name in ("display", "schema", "prefix", "settings") if name in options}
        try:
            self.calls = open_sync_calls(dsn, authorize=options.get("authorize") or everybody_may, **shared)
        except BaseException:
            self._runner.close()
            raise

    def run(
        self,
        workflow: Runnable,
        *,
        fakes: Fakes | None = None,
        signals: Mapping[str, Any] | None = None,
        until: str | None = None,
        within: timedelta = PASSES_AT_MOST,
    ) -> WorkflowRun:
        """As ``WorkflowRunner.run``."""
        return self._do(self._runner.run(workflow, fakes=fakes, signals=signals, until=until, within=within))

    def drain(self, *, fakes: Fakes | None = None) -> int:
        """As ``WorkflowRunner.drain``."""
        return self._do(self._runner.drain(fakes=fakes))

    def advance(self, by: timedelta, *, fakes: Fakes | None = None) -> None:
        """As ``WorkflowRunner.advance``."""
        self._do(self._runner.advance(by, fakes=fakes))

    def signal(self, signal: str, correlation_key: str, payload: Any = None, **options: Any) -> SignalRecord:
        """As ``WorkflowRunner.signal``."""
        return self._do(self._runner.signal(signal, correlation_key, payload, **options))

    def load(self, source: str | Path | Mapping[str, Any]) -> WorkflowId:
        """As ``WorkflowRunner.load``."""
        return self._do(self._runner.load(source))

    def look(self, workflow: Runnable) -> WorkflowRun:
        """As ``WorkflowRunner.look``."""
        return self._do(self._runner.look(workflow))

    def close(self) -> None:
        """As ``WorkflowRunner.close``."""
        self.calls.close()
        self._loop.close()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)
