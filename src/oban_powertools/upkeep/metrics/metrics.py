"""The calls of ``powertools.metrics``."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from ...arguments import as_list, refuse
from ...database import Session
from ...operators.services import Facade, Services
from ...privacy.logs import find_logger
from ...wire import AsDict
from .gauges import Reading, read_events, read_executors, read_faults, read_incidents, read_open_workflows, read_steps
from .tally import Counts, Tally

logger: Final = find_logger(__name__)

type Source = Callable[[Session], Awaitable[list[Reading]]]

SOURCES: Final[Mapping[str, Source]] = {
    "steps": read_steps,
    "workflows": read_open_workflows,
    "events": read_events,
    "faults": read_faults,
    "executors": read_executors,
    "incidents": read_incidents,
}
"""What is read one by one, so that a source that fails or takes too long keeps the others from nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings(AsDict):
    """The gauges as they were read."""

    values: Sequence[Reading]
    """Of the sources that answered."""

    answered: Mapping[str, bool]
    """Source that was to be read -> whether it answered in time."""


class Metrics(Facade):
    """Read numbers about the whole database; every process reads the same ones."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._tally = Tally(services.connect)

    async def read(self, *, only: Collection[str] | None = None) -> Readings:
        """Read the gauges, each source at most 5 s; a database that does not answer gives none.

        Args:
            only: The sources to read, of those in ``Readings.answered``; None for all.

        Raises:
            InvalidArgumentError: There is no such source.
        """
        chosen = SOURCES if only is None else {name: SOURCES[name] for name in _as_sources(only)}
        values: list[Reading] = []
        answered: dict[str, bool] = {}
        for name, source in chosen.items():
            try:
                async with self._connect() as session, session.bounded():
                    values += await source(session)
            except psycopg.Error as error:
                logger.warning("the metrics of %s could not be read: %s", name, error)
                answered[name] = False
                if isinstance(error, PoolTimeout):
                    break
            else:
                answered[name] = True
        return Readings(values=values, answered={name: answered.get(name, False) for name in chosen})

    async def count(self) -> Counts:
        """Count what happened since the last call, from the event log, and tell of it through telemetry.

        The first call begins at the end of the log. Telemetry gets ``oban_powertools.workflow.step_changed`` and
        ``oban_powertools.workflow.finished``, of every process's steps and workflows.

        Returns:
            The totals since the first call, to be read only.

        Raises:
            psycopg.Error: The database did not answer in 5 s; what was read until then is counted.
        """
        return await self._tally.count()


def _as_sources(only: Collection[str]) -> list[str]:
    names = as_list("only", only, "names of sources")
    for name in names:
        if not isinstance(name, str) or name not in SOURCES:
            raise refuse("only", name, f"one of {', '.join(SOURCES)}")
    return names
