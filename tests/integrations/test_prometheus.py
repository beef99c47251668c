"""A scrape, as Prometheus makes it, of a web application that mounts the app."""

import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.errors import LockNotAvailable

from oban_powertools import Powertools
from oban_powertools.database import Connection
from oban_powertools.integrations.prometheus import PowertoolsCollector, metrics_app
from oban_powertools.telemetry import WORDS
from tests.support.telemetry_plays import chain, everything

LABELS = {"state", "health", "class", "source", "change", "outcome", "what", "action", "status", "le"}


@pytest.fixture
def collector(powertools: Powertools) -> Iterator[PowertoolsCollector]:
    collector = PowertoolsCollector(powertools)
    yield collector
    collector.close()


async def test_a_scrape_tells_what_happened(powertools: Powertools, collector: PowertoolsCollector) -> None:
    await everything(powertools)

    found = samples(await scrape(collector))

    assert found["powertools_workflows_inserted_total", ()] == 4
    assert found["powertools_workflows_finished_total", (("outcome", "completed"),)] == 2
    assert found["powertools_step_changes_total", (("change", "discarded"),)] == 1
    assert found["powertools_commands_total", (("action", "workflow_cancel"), ("outcome", "accepted"))] == 1
    assert found["powertools_signals_total", (("status", "consumed"),)] == 1
    assert found["powertools_ack_seconds_count", ()] >= 1
    assert found["powertools_jobs_acknowledged_total", ()] == 4
    assert found["powertools_open_steps", (("state", "pending"),)] == 0
    assert found["powertools_executors", (("health", "healthy"),)] == 1
    assert found["powertools_open_incidents", (("class", "poison_job"),)] == 0
    assert found["powertools_hop_seconds_count", ()] == 2
    assert found["powertools_hop_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["powertools_event_head", ()] > 20
    assert 0 <= found["powertools_sweep_age_seconds", ()] < 10
    assert all(value for (name, _), value in found.items() if name == "powertools_source_up")


async def test_no_label_has_a_value_that_a_user_chose(powertools: Powertools, collector: PowertoolsCollector) -> None:
    await everything(powertools)

    found = samples(await scrape(collector))

    labels = {(label, value) for _, pairs in found for label, value in pairs}
    assert {label for label, _ in labels} <= LABELS
    assert [(label, value) for label, value in labels if label in WORDS and value not in WORDS[label]] == []
    assert len(found) < 250


async def test_a_scrape_of_a_process_whose_database_is_gone_says_so(dsn: str) -> None:
    async with Powertools.open(dsn) as powertools:
        collector = PowertoolsCollector(powertools)
        await powertools.workflows.insert(chain())

    found = samples(await scrape(collector))
    collector.close()

    assert {value for (name, _), value in found.items() if name == "powertools_source_up"} == {0}
    assert found["powertools_workflows_inserted_total", ()] == 1
    assert ("powertools_open_steps", (("state", "pending"),)) not in found


async def lock(conn: Connection, tables: str) -> None:
    """All at once: who holds one of them and waits for the next would meet somebody who does it the other way round."""
    while True:
        try:
            async with conn.transaction():
                await conn.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE NOWAIT".encode())
                return
        except LockNotAvailable:
            continue


async def test_a_scrape_does_not_wait_for_a_slow_database_longer_than_prometheus_does(
    powertools: Powertools, collector: PowertoolsCollector
) -> None:
    async with powertools.connect() as conn, conn.transaction():
        await lock(conn, "powertools.workflows, powertools.settle_faults")
        began_at = time.monotonic()
        slow = samples(await scrape(collector))
        took = time.monotonic() - began_at

    await collector.refresh()
    then = samples(await scrape(collector))
    assert took < 8
    assert slow["powertools_source_up", (("source", "tally"),)] == 0
    assert slow["powertools_sweep_seconds_count", ()] >= 0
    assert then["powertools_source_up", (("source", "tally"),)] == 1


async def test_many_scrapes_at_once_read_the_database_once(
    powertools: Powertools, collector: PowertoolsCollector
) -> None:
    await collector.refresh()
    async with powertools.connect() as conn, conn.transaction():
        await conn.execute("LOCK TABLE powertools.workflows IN ACCESS EXCLUSIVE MODE")
        await collector.refresh()

    assert "powertools_source_up" in await scrape(collector)


async def test_a_collector_stands_in_a_registry_beside_the_hosts_own_metrics(collector: PowertoolsCollector) -> None:
    registry = CollectorRegistry()
    registry.register(collector)
    names = {metric.name for metric in registry.collect()}

    assert "powertools_sweep_age_seconds" in names
    assert not names & {metric.name for metric in REGISTRY.collect()}


async def test_the_exposition_follows_what_the_scraper_accepts(collector: PowertoolsCollector) -> None:
    openmetrics = {"accept": "application/openmetrics-text;version=1.0.0"}

    async with client(collector) as http:
        plain, asked = await http.get("/metrics/"), await http.get("/metrics/", headers=openmetrics)

    assert plain.headers["content-type"].startswith("text/plain")
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    assert asked.text.endswith("# EOF\n")


async def test_only_a_get_is_answered(collector: PowertoolsCollector) -> None:
    async with client(collector) as http:
        posted, head = await http.post("/metrics/"), await http.head("/metrics/")

    assert posted.status_code == 405
    assert (head.status_code, head.content) == (200, b"")


async def test_a_closed_collector_counts_no_longer(powertools: Powertools, collector: PowertoolsCollector) -> None:
    collector.close()

    await powertools.workflows.insert(chain())

    registry = CollectorRegistry()
    registry.register(collector)
    assert b"powertools_workflows_inserted_total 0.0" in generate_latest(registry)


def client(collector: PowertoolsCollector) -> httpx.AsyncClient:
    host = FastAPI()
    host.mount("/metrics", metrics_app(collector))
    return httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://host")


async def scrape(collector: PowertoolsCollector) -> str:
    async with client(collector) as http:
        response = await http.get("/metrics/")
    assert response.status_code == 200
    return response.text


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
