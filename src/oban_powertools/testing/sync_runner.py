"""The runner for tests that are plain functions: the same one, on a loop of its own that runs while a call lasts."""

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ..states import WorkflowId
from ..sync import SyncCalls, open_sync_calls
from ..workflows.records import SignalRecord
from .fakes import Fakes
from .ran import WorkflowRun
from .runner import PASSES_AT_MOST, Runnable, WorkflowRunner, everybody_may

_OF_CALLS: Final = ("display", "schema", "prefix", "settings")
"""Options of a runner that are those of its calls too."""


class SyncWorkflowRunner:
    """As ``WorkflowRunner``, for a test without an event loop: the fixture ``sync_workflow_runner``.

    Args:
        dsn: A database of the test's own, with both schemas.
        options: As ``WorkflowRunner``'s.
    """

    dsn: str
    """The test's database, for what connects by itself."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self.dsn = dsn
        self._runner = WorkflowRunner(dsn, **options)
        self._loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._options = options
        self._calls: SyncCalls | None = None

    @property
    def calls(self) -> SyncCalls:
        """Every call on that database, as ``open_sync_calls`` opens them; opened when first asked for."""
        if self._calls is None:
            shared = {name: value for name, value in self._options.items() if name in _OF_CALLS}
            authorize = self._options.get("authorize") or everybody_may
            self._calls = open_sync_calls(self.dsn, authorize=authorize, **shared)
        return self._calls

    def run(
        self,
        workflow: Runnable,
        *,
        fakes: Fakes | None = None,
        signals: Mapping[str, Any] | None = None,
        until: str | None = None,
        within: timedelta | float = PASSES_AT_MOST,
    ) -> WorkflowRun:
        """As ``WorkflowRunner.run``."""
        return self._do(self._runner.run(workflow, fakes=fakes, signals=signals, until=until, within=within))

    def drain(self, *, fakes: Fakes | None = None) -> int:
        """As ``WorkflowRunner.drain``."""
        return self._do(self._runner.drain(fakes=fakes))

    def advance(self, by: timedelta | float, *, fakes: Fakes | None = None) -> None:
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
        if self._calls is not None:
            self._calls.close()
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
