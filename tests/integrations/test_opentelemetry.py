"""Traces, with the real SDK and real workers: one trace for a workflow, and nothing in it that is not listed."""

from collections.abc import Iterator
from typing import Any

import pytest
from oban import Job
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from oban_powertools import Powertools, Workflow, current_step
from oban_powertools.integrations.opentelemetry import ATTRIBUTES, Tracing
from tests.support.ledger import eventually
from tests.support.telemetry_plays import Succeed, chain, everything, fail, run, succeed


class Traces:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def traces(powertools: Powertools) -> Iterator[Traces]:
    traces = Traces()
    tracing = Tracing(powertools, tracer_provider=traces.provider)
    yield traces
    tracing.close()


class Nests:
    """Its own span stands below the job's."""

    async def process(self, job: Job) -> str:
        with trace.get_tracer("host", tracer_provider=_provider_of_the_current_span()).start_as_current_span("own"):
            return "done"


class Appends:
    async def process(self, job: Job) -> str:
        current_step().append("appended", succeed())
        return "done"


class Flaky:
    async def process(self, job: Job) -> str:
        if job.attempt == 1:
            raise RuntimeError("secret of customer Velvet")
        return "done"

    def backoff(self, job: Job) -> int:
        return 0


async def test_the_jobs_of_a_workflow_are_below_its_insert_also_those_released_later(
    powertools: Powertools, traces: Traces
) -> None:
    await run(powertools, chain(3))

    [insert] = traces.named("insert workflows")
    jobs = traces.named("process default")
    assert (insert.kind, {job.kind for job in jobs}) == (SpanKind.PRODUCER, {SpanKind.CONSUMER})
    assert len(jobs) == 3
    assert {_parent(job) for job in jobs} == {_own(insert)}
    assert attributes(insert)["oban_powertools.steps"] == 3
    assert {attributes(job)["oban_powertools.state"] for job in jobs} == {"completed"}


async def test_the_insert_is_below_the_span_of_its_caller(powertools: Powertools, traces: Traces) -> None:
    with trace.get_tracer("host", tracer_provider=traces.provider).start_as_current_span("request") as request:
        await powertools.workflows.insert(chain(1))
        current = trace.get_current_span()

    assert current is request
    [insert] = traces.named("insert workflows")
    assert _parent(insert) == (request.get_span_context().trace_id, request.get_span_context().span_id)


async def test_two_workflows_have_two_traces(powertools: Powertools, traces: Traces) -> None:
    await run(powertools, chain(2))
    await run(powertools, chain(2))

    inserts = traces.named("insert workflows")
    assert len({_own(insert)[0] for insert in inserts}) == 2
    assert {_parent(job) for job in traces.named("process default")} == {_own(insert) for insert in inserts}


async def test_a_workers_own_spans_are_below_its_job(powertools: Powertools, traces: Traces) -> None:
    await run(powertools, _of(Job("tests.integrations.test_opentelemetry.Nests")))

    [own] = traces.named("own")
    [job] = traces.named("process default")
    assert _parent(own) == _own(job)


async def test_every_attempt_has_a_span_and_a_failed_one_tells_no_text(powertools: Powertools, traces: Traces) -> None:
    await run(powertools, _of(Job("tests.integrations.test_opentelemetry.Flaky", max_attempts=2)))

    first, second = traces.named("process default")
    assert (attributes(first)["oban_powertools.attempt"], attributes(second)["oban_powertools.attempt"]) == (1, 2)
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert attributes(first)["error.type"] == "RuntimeError"
    assert "Velvet" not in first.to_json()


async def test_nested_workflows_maps_appended_steps_and_on_finished_belong_to_the_trace(
    powertools: Powertools, traces: Traces
) -> None:
    workflow = Workflow("family", on_finished=succeed())
    workflow.add_workflow("nested", chain(2))
    workflow.map("map", Succeed, over=[1, 2])
    workflow.add("appends", Job("tests.integrations.test_opentelemetry.Appends"))

    await run(powertools, workflow)

    async def all_ended() -> bool:
        return len(traces.named("process default")) == 7

    await eventually(all_ended)
    [insert] = traces.named("insert workflows")
    assert {_parent(job) for job in traces.named("process default")} == {_own(insert)}


async def test_a_hosts_own_trace_context_in_a_jobs_meta_wins(powertools: Powertools, traces: Traces) -> None:
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    await run(powertools, _of(Job("tests.support.telemetry_plays.Succeed", meta={"traceparent": own})))

    [job] = traces.named("process default")
    assert _parent(job) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)


async def test_a_definition_inserted_again_in_another_trace_is_the_same_definition(
    powertools: Powertools, traces: Traces
) -> None:
    def keyed() -> Workflow:
        workflow = Workflow("once", idempotency_key="once")
        workflow.add("only", succeed())
        return workflow

    first = await powertools.workflows.insert(keyed())
    second = await powertools.workflows.insert(keyed())

    assert (second.id, second.inserted) == (first.id, False)


async def test_a_refused_insert_ends_its_span_as_an_error(powertools: Powertools, traces: Traces) -> None:
    with pytest.raises(TypeError):
        await powertools.workflows.insert(chain(1), conn="no connection")

    [insert] = traces.named("insert workflows")
    assert insert.status.status_code == StatusCode.ERROR
    assert not trace.get_current_span().get_span_context().is_valid


async def test_spans_have_the_listed_attributes_and_no_others(powertools: Powertools, traces: Traces) -> None:
    await everything(powertools)
    await run(powertools, _of(fail()))

    assert {name for span in traces.all() for name in attributes(span)} == ATTRIBUTES
    assert [span.name for span in traces.all() if span.events or span.links or span.status.description] == []


async def test_a_job_that_is_no_workflows_has_no_span(powertools: Powertools, traces: Traces) -> None:
    await powertools.oban.enqueue_many([Job("tests.support.telemetry_plays.Succeed")])
    await run(powertools, chain(1))

    assert len(traces.named("process default")) == 1


async def test_without_tracing_no_job_carries_anything(powertools: Powertools) -> None:
    Tracing(powertools, tracer_provider=Traces().provider).close()

    handle = await powertools.workflows.insert(chain(2))

    async with powertools.connect() as conn:
        rows = await conn.execute("SELECT meta FROM powertools.steps WHERE workflow_id = %s", [handle.id])
        assert await rows.fetchall() == [(None,), (None,)]


def _of(job: Job) -> Workflow:
    workflow = Workflow("single")
    workflow.add("only", job)
    return workflow


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _own(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def _parent(span: ReadableSpan) -> tuple[int, int] | None:
    return span.parent and (span.parent.trace_id, span.parent.span_id)


def _provider_of_the_current_span() -> TracerProvider:
    provider = TracerProvider()
    processor = getattr(trace.get_current_span(), "_span_processor")  # noqa: B009
    provider.add_span_processor(processor)
    return provider
