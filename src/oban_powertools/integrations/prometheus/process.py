"""Count what this process does, from its telemetry."""

import time
from collections.abc import Callable
from typing import Any, Final

from oban import telemetry
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from ...telemetry import BUCKETS, Name

_PREFIX: Final = "powertools"
_NANOSECONDS: Final = 1e-9


class ProcessMetrics:
    """Listens from its making until ``close``."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        registry = self.registry
        self._inserts = _histogram(registry, "insert_seconds", "Duration of inserts of workflows")
        self._inserted = _counter(registry, "workflows_inserted", "Workflows inserted")
        self._acks = _histogram(registry, "ack_seconds", "Duration of acknowledging a batch of jobs, settle included")
        self._acknowledged = _counter(registry, "jobs_acknowledged", "Jobs acknowledged, plain ones too")
        self._sweeps = _histogram(registry, "sweep_seconds", "Duration of sweeps")
        self._swept = _counter(registry, "swept", "What sweeps had to do", "what")
        self._commands = _counter(registry, "commands", "Commands", "action", "outcome")
        self._signals = _counter(registry, "signals", "Signals by what became of them", "status")
        self._errors = _counter(registry, "errors", "Failures by what failed", "what")
        self._swept_at = time.monotonic()
        handlers: dict[str, Callable[[str, dict[str, Any]], None]] = {
            f"{Name.INSERT}.stop": self._on_insert,
            f"{Name.ACK}.stop": self._on_ack,
            f"{Name.SWEEP}.stop": self._on_sweep,
            Name.COMMAND: self._on_command,
            Name.SIGNAL: self._on_signal,
        }
        for part, name in _FAILING.items():
            handlers[f"{name}.exception"] = self._on_error
            self._errors.labels(part)
        for part in ("repaired", "expired", "reconciled"):
            self._swept.labels(part)
        self._id = f"powertools-prometheus-{id(self)}"
        for event, handler in handlers.items():
            telemetry.attach(self._id, [event], handler)

    def close(self) -> None:
        """Listen no longer."""
        telemetry.detach(self._id)

    def sweep_age(self) -> Metric:
        """Seconds since this process last swept without a fault, or began to listen."""
        age = time.monotonic() - self._swept_at
        return GaugeMetricFamily(f"{_PREFIX}_sweep_age_seconds", "Seconds since this process's last good sweep", age)

    def _on_insert(self, _: str, fields: dict[str, Any]) -> None:
        self._inserts.observe(fields["duration"] * _NANOSECONDS)
        self._inserted.inc(fields["inserted"])

    def _on_ack(self, _: str, fields: dict[str, Any]) -> None:
        self._acks.observe(fields["duration"] * _NANOSECONDS)
        self._acknowledged.inc(fields["acknowledged"])

    def _on_sweep(self, _: str, fields: dict[str, Any]) -> None:
        self._swept_at = time.monotonic()
        self._sweeps.observe(fields["duration"] * _NANOSECONDS)
        for part in ("repaired", "expired", "reconciled"):
            self._swept.labels(part).inc(fields[part])

    def _on_command(self, _: str, fields: dict[str, Any]) -> None:
        self._commands.labels(fields["action"], fields["outcome"]).inc()

    def _on_signal(self, _: str, fields: dict[str, Any]) -> None:
        self._signals.labels(fields["status"]).inc()

    def _on_error(self, event: str, _: dict[str, Any]) -> None:
        for part, name in _FAILING.items():
            if event == f"{name}.exception":
                self._errors.labels(part).inc()


_FAILING: Final = {"insert": Name.INSERT, "ack": Name.ACK, "sweep": Name.SWEEP, "keep_events": Name.KEEP_EVENTS}


def _histogram(registry: CollectorRegistry, name: str, meaning: str) -> Histogram:
    return Histogram(f"{_PREFIX}_{name}", meaning, buckets=BUCKETS, registry=registry)


def _counter(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"{_PREFIX}_{name}", meaning, labels, registry=registry)
