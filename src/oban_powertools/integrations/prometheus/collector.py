"""The collector: this process's counters, and the last reading of the database."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import psycopg
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ...every import Every
from ...powertools import Powertools
from ...privacy.logs import find_logger
from ...upkeep.metrics import SOURCES, Counts, Readings
from .families import counters, gauges
from .process import ProcessMetrics

logger: Final = find_logger(__name__)

_FRESH_FOR: Final = timedelta(seconds=1)
"""For which a reading is reused, however many scrapes come."""

_WAIT: Final = 5.0
"""Seconds that one refresh waits for the database: Prometheus drops a whole scrape after 10."""

_UNREAD: Final = Readings(values=(), answered=dict.fromkeys((*SOURCES, "tally"), False))


class PowertoolsCollector(Collector):
    """The metrics of one process and its database, for a ``prometheus_client`` registry.

        collector = PowertoolsCollector(powertools)
        REGISTRY.register(collector)

    ``collect`` cannot wait for the database: call ``await collector.refresh()`` before each scrape is answered, as
    ``metrics_app`` does. One collector per process: telemetry does not distinguish instances of Powertools.

    Args:
        powertools: Must be running during a refresh.
    """

    def __init__(self, powertools: Powertools) -> None:
        self._metrics = powertools.metrics
        self._process = ProcessMetrics()
        self._readings = _UNREAD
        self._counts = Counts()
        self._fresh = Every(_FRESH_FOR)
        self._reading: asyncio.Task[None] | None = None

    def collect(self) -> Iterator[Metric]:
        """The metrics, as of now for this process and as of the last refresh for the database."""
        yield from self._process.registry.collect()
        yield self._process.sweep_age()
        yield from gauges(self._readings)
        yield from counters(self._counts)

    async def refresh(self) -> None:
        """Read the database, for at most 5 s, unless that was done within the last second.

        A database that does not answer in time shows in ``powertools_source_up``, never as an error. Reading then
        continues, and the next refresh waits for it; it is never cancelled, which would strand a connection.
        """
        if not self._fresh.is_due:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="powertools-metrics")
        done, _ = await asyncio.wait({self._reading}, timeout=_WAIT)
        if not done:
            self._readings = _UNREAD
        elif error := self._reading.exception():
            raise error

    async def _read(self) -> None:
        readings = await self._metrics.read()
        counted = False
        if any(readings.answered.values()):
            try:
                self._counts = await self._metrics.count()
                counted = True
            except psycopg.Error as error:
                logger.warning("the event log could not be counted: %s", error)
        self._readings = Readings(values=readings.values, answered={**readings.answered, "tally": counted})
        self._fresh.rest()

    def close(self) -> None:
        """Stop counting."""
        self._process.close()
