"""Turn telemetry into spans, and carry the trace from the insert to the jobs in their meta."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from importlib.metadata import version
from typing import Any, Final

from oban import Job, telemetry
from opentelemetry import context as otel
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, get_tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ...powertools import Powertools
from ...telemetry import TRACE_META, Name
from .attributes import of_end, of_insert, of_job

type Open = tuple[Span, Token[Context]]

_EXTRA: Final = "powertools_span"
"""Key of a job's ``extra``, which lives as long as one attempt in one process."""


class Tracing:
    """Traces inserts, and the attempts of workflow jobs, of one Powertools until ``close``.

        tracing = Tracing(powertools)

    An insert is a span below the caller's current one. Its context goes into the meta of every job of the workflow
    (``traceparent``, ``tracestate``), also of those the database releases days later; each attempt of such a job is a
    span below the insert's, and current while the worker runs. A worker needs its own ``Tracing`` for that.

    Args:
        tracer_provider: None for the global one.
    """

    def __init__(self, powertools: Powertools, *, tracer_provider: TracerProvider | None = None) -> None:
        self._workflows = powertools.workflows
        self._tracer = get_tracer("oban_powertools", version("oban-powertools"), tracer_provider)
        self._propagator = TraceContextTextMapPropagator()
        self._id = f"powertools-opentelemetry-{id(self)}"
        self._inserting = ContextVar[Open | None](self._id, default=None)
        self._workflows.job_meta = self._carrier
        handlers: dict[str, Callable[[str, dict[str, Any]], None]] = {
            f"{Name.INSERT}.start": self._start_insert,
            f"{Name.INSERT}.stop": self._end_insert,
            f"{Name.INSERT}.exception": self._end_insert,
            "oban.job.start": self._start_job,
            "oban.job.stop": self._end_job,
            "oban.job.exception": self._end_job,
        }
        for event, handler in handlers.items():
            telemetry.attach(self._id, [event], handler)

    def close(self) -> None:
        """Stop tracing; open spans are dropped."""
        telemetry.detach(self._id)
        self._workflows.job_meta = dict

    def _carrier(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def _start_insert(self, _: str, fields: dict[str, Any]) -> None:
        span = self._tracer.start_span("insert workflows", kind=SpanKind.PRODUCER, attributes=of_insert(fields))
        self._inserting.set((span, otel.attach(set_span_in_context(span))))

    def _end_insert(self, _: str, fields: dict[str, Any]) -> None:
        opened = self._inserting.get()
        if opened is not None:
            self._inserting.set(None)
            opened[0].set_attributes(of_insert(fields))
            _end(opened, fields)

    def _start_job(self, _: str, fields: dict[str, Any]) -> None:
        job: Job = fields["job"]
        if "workflow_id" not in job.meta:
            return
        # Below the insert alone: whatever is current in the task that dispatches jobs has nothing to do with them.
        carried = {key: job.meta[key] for key in TRACE_META if isinstance(job.meta.get(key), str)}
        parent = self._propagator.extract(carried, Context())
        span = self._tracer.start_span(f"process {job.queue}", parent, kind=SpanKind.CONSUMER, attributes=of_job(job))
        job.extra[_EXTRA] = (span, otel.attach(set_span_in_context(span, parent)))

    def _end_job(self, _: str, fields: dict[str, Any]) -> None:
        opened: Open | None = fields["job"].extra.pop(_EXTRA, None)
        if opened is not None:
            _end(opened, fields)


def _end(opened: Open, fields: Mapping[str, Any]) -> None:
    span, token = opened
    span.set_attributes(of_end(fields))
    if "error_type" in fields:
        span.set_status(StatusCode.ERROR)
    otel.detach(token)
    span.end()
