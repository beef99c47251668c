"""Convert readings and counts of the database to Prometheus' metric families."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ...telemetry import BUCKETS, WORDS
from ...upkeep.metrics import GAUGES, Counts, Readings


def gauges(readings: Readings) -> Iterator[Metric]:
    """One family per gauge; without a value where its source did not answer."""
    for name, gauge in GAUGES.items():
        family = GaugeMetricFamily(f"powertools_{name}", gauge.meaning, labels=[gauge.label] if gauge.label else [])
        for reading in readings.values:
            if reading.name == name:
                family.add_metric([] if reading.word is None else [reading.word], reading.value)
        yield family
    answered = GaugeMetricFamily("powertools_source_up", "Whether the database answered in time", labels=["source"])
    for source, up in readings.answered.items():
        answered.add_metric([source], up)
    yield answered


def counters(counts: Counts) -> Iterator[Metric]:
    """The counters from the event log."""
    changes = CounterMetricFamily("powertools_step_changes", "Changes of steps", labels=["change"])
    for change in sorted(WORDS["change"]):
        changes.add_metric([change], counts.changes[change])
    yield changes
    finished = CounterMetricFamily("powertools_workflows_finished", "Workflows that ended", labels=["outcome"])
    for outcome in ("completed", "failed", "cancelled", "expired"):
        finished.add_metric([outcome], counts.outcomes[outcome])
    yield finished
    bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
    yield HistogramMetricFamily(
        "powertools_hop_seconds",
        "Time from the end of a step's last parent to its start, of completed steps",
        buckets=list(zip(bounds, accumulate(counts.hops), strict=True)),
        sum_value=counts.hop_seconds,
    )
    yield GaugeMetricFamily("powertools_uncounted_events", "Events left for the next scrape", counts.uncounted)
