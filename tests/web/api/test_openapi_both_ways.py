"""The API answers what its document says, and nothing that is sent makes it fail: schemathesis, derandomized."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from oban_powertools.web import Rates
from oban_powertools.web.api import document
from oban_powertools.web.api.endpoints import ENDPOINTS
from tests.support.console import furnished_console

MANY = 1_000_000
EXAMPLES = 8
"""Requests to each operation."""

SCHEMA = schemathesis.openapi.from_dict({name: part for name, part in document().items() if name != "security"})
"""Who asks is another test's."""

OPERATIONS: dict[str, Any] = {
    one.ok().definition.raw["operationId"]: one.ok() for one in cast("Any", SCHEMA.get_all_operations())
}
WITHOUT_END = {"stream_events"}
WITHOUT_INPUTS = {row.name for row in ENDPOINTS if not (row.path_inputs or row.query or row.body)} | {
    "get_openapi",
    "get_health",
    "get_readiness",
}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

type Ask = Callable[[schemathesis.Case], httpx.Response]


@pytest.mark.timeout(400)
def test_what_the_api_answers_is_what_its_document_says(dsn: str) -> None:
    assert _failures(dsn, GenerationMode.POSITIVE, CHECKS, WITHOUT_END) == {}


@pytest.mark.timeout(400)
def test_a_request_that_the_document_forbids_is_refused_and_never_fails(dsn: str) -> None:
    checks = [*CHECKS, negative_data_rejection]

    assert _failures(dsn, GenerationMode.NEGATIVE, checks, WITHOUT_END | WITHOUT_INPUTS) == {}


def _failures(dsn: str, mode: GenerationMode, checks: list[Any], left_out: set[str]) -> dict[str, str]:
    """Operation -> what was wrong with it."""
    failures: dict[str, str] = {}
    with _asking(dsn) as ask:
        for name, operation in OPERATIONS.items():
            if name in left_out:
                continue
            try:
                _try(operation, mode, checks, ask)
            except BaseExceptionGroup as error:
                failures[name] = "; ".join(str(one) for one in error.exceptions)
            except Exception as error:  # noqa: BLE001 - every operation is tried, and each says what was wrong
                failures[name] = f"{type(error).__name__}: {error}"
    return failures


def _try(operation: Any, mode: GenerationMode, checks: list[Any], ask: Ask) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers(case: schemathesis.Case) -> None:
        answer = ask(case)
        # Too large is refused, too, which the check of refusals does not know.
        others = [check for check in checks if check is not negative_data_rejection or answer.status_code != 413]
        case.validate_response(answer, checks=others)

    answers()


@contextmanager
def _asking(dsn: str) -> Iterator[Ask]:
    """Asks the console from a test that is not async, because Hypothesis runs none."""
    with asyncio.Runner() as runner:
        rates = Rates(previews=MANY, executes=MANY, bulks=MANY, changes=MANY)
        opened = furnished_console(dsn, rates=rates)
        shop = runner.run(opened.__aenter__())
        try:
            yield lambda case: runner.run(_ask(shop.client, case))
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def _ask(client: httpx.AsyncClient, case: schemathesis.Case) -> httpx.Response:
    prepared: Any = requests.Request(**case.as_transport_kwargs(base_url=str(client.base_url))).prepare()
    return await client.request(prepared.method, prepared.url, headers=prepared.headers, content=prepared.body)
