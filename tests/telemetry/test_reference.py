"""docs/reference/telemetry.md names every event, field, word, metric, label and attribute, and nothing that is none."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from oban_powertools import Powertools
from oban_powertools.integrations.opentelemetry import ATTRIBUTES
from oban_powertools.integrations.prometheus import PowertoolsCollector
from oban_powertools.telemetry import BUCKETS, EVENTS, WORDS, Name

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md").read_text()
ALWAYS = {"system_time", "duration", "error_type"}


@pytest.fixture
async def exported(powertools: Powertools) -> dict[str, Metric]:
    """Name, as samples have it -> metric."""
    collector = PowertoolsCollector(powertools)
    await collector.refresh()
    registry = CollectorRegistry()
    registry.register(collector)
    collector.close()
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric for metric in registry.collect()
    }


@pytest.mark.parametrize("name", Name)
def test_every_event_has_a_row_with_its_fields(name: Name) -> None:
    fields = set[str]().union(*(f for event, f in EVENTS.items() if event in (name, f"{name}.stop")))

    [row] = _rows(name)

    assert set(re.findall(r"`([a-z_]+)`", " ".join(row[1:]))) - {"insert_many"} == fields - ALWAYS


def test_every_field_has_a_row_with_its_words() -> None:
    fields = set[str]().union(*EVENTS.values())
    section = _section("Events")
    rows = {row[0]: row for row in _table(section) if row[0] in fields}

    assert rows.keys() == fields
    for field, words in WORDS.items():
        assert set(re.findall(r"`(\w+)`", rows[field][1])) == words


def test_every_metric_has_a_row_with_its_type_and_labels(exported: dict[str, Metric]) -> None:
    rows = {row[0]: row for row in _table(_section("Metrics")) if row[0].startswith("powertools_")}

    assert rows.keys() == exported.keys()
    assert {name: row[1] for name, row in rows.items()} == {name: metric.type for name, metric in exported.items()}
    for name, metric in exported.items():
        labels = {label for sample in metric.samples for label in sample.labels}
        if metric.name not in ("powertools_commands", "powertools_signals"):
            assert set(re.findall(r"`(\w+)`", rows[name][2])) == labels, name


def test_the_buckets_are_named() -> None:
    [sentence] = re.findall(r"have the buckets (.*) seconds\.", PAGE)

    assert tuple(float(bucket) for bucket in re.findall(r"[\d.]+", sentence)) == BUCKETS


def test_every_attribute_of_a_span_has_a_row() -> None:
    assert {row[0] for row in _table(_section("Traces")) if "." in row[0] and "(" not in row[0]} == ATTRIBUTES


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _table(text: str) -> list[list[str]]:
    """The rows of all tables: cells, the first one without its backticks."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" |")] for line in text.splitlines() if line[:3] == "| `"]
    return [[row[0].strip("`"), *row[1:]] for row in rows]


def _rows(first: str) -> list[list[str]]:
    return [row for row in _table(PAGE) if row[0] == first]
