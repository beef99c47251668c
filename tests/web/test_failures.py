"""What a page says when something fails."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Calls, open_calls
from oban_powertools.errors import InvalidSettingError, NotAuthorizedError, SchemaBehindError, WorkflowNotFoundError
from oban_powertools.lifeline import Lifeline
from oban_powertools.web import Rates, create_console
from oban_powertools.web.answers import find_problem
from oban_powertools.web.pages import overview
from tests.support.by_hand import by_hand
from tests.support.console import PATIENT, client_of, console_of, furnished_console
from tests.support.site import unreachable


@asynccontextmanager
async def lazily(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A console that opens its calls at the first request."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Calls]:
        pool: AsyncConnectionPool = AsyncConnectionPool(dsn, open=False, min_size=1, timeout=2)
        async with pool, open_calls(pool) as calls:
            yield calls

    console = create_console(opening, actor=lambda connection: "ada", read_within=PATIENT)
    async with client_of(console) as asking:
        yield asking
    await console.aclose()


async def test_a_database_that_is_down_has_a_page_that_says_when_it_last_answered(dsn: str) -> None:
    async with lazily(dsn) as client:
        await client.get("/")
        with unreachable(dsn):
            answer = await client.get("/")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert re.search(r"It last answered</dt><dd><time[^>]*>(now|\d+ s ago)</time>, at \d\d:\d\d:\d\d UTC", answer.text)


async def test_a_console_whose_database_was_never_there_says_so(dsn: str) -> None:
    with unreachable(dsn):
        async with lazily(dsn) as client:
            answer = await client.get("/incidents")

    assert (answer.status_code, "not since this process began" in answer.text) == (503, True)


async def test_calls_are_opened_at_the_first_request_and_closed_with_the_console(dsn: str) -> None:
    async with lazily(dsn) as client:
        assert (await client.get("/incidents")).status_code == 200


async def test_an_unexpected_error_is_told_by_its_request_alone(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(overview, "by_node", fail)
    async with by_hand(dsn, turbo=True) as hand, console_of(hand) as (_, client):
        with caplog.at_level(logging.ERROR):
            answer = await client.get("/")

    request_id = answer.headers["x-request-id"]
    assert (answer.status_code, "hunter2" in answer.text, request_id in answer.text) == (500, False, True)
    assert request_id in caplog.text


async def test_a_part_that_takes_too_long_says_so(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(self: Lifeline, **_: object) -> None:
        async with self._connect() as session:
            await session.conn.execute("SELECT pg_sleep(30)")

    monkeypatch.setattr(Lifeline, "list_executor_health", sleep)
    async with by_hand(dsn, turbo=True) as hand, console_of(hand, read_within=timedelta(seconds=1)) as (_, client):
        answer = await client.get("/")

        left = await hand.rows(
            "SELECT FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(30)%%' AND state = 'active'"
            " AND pid <> pg_backend_pid()"
        )
    assert (answer.status_code, "too_slow" in answer.text, left) == (200, True, [])


@pytest.mark.parametrize("within", [timedelta(0), timedelta(seconds=-1), "3 s"])
def test_a_page_has_some_time(within: Any) -> None:
    never: Any = open_calls

    with pytest.raises(InvalidSettingError, match="read_within"):
        create_console(never, actor=lambda connection: "ada", read_within=within)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WorkflowNotFoundError(7), 404),
        (NotAuthorizedError("ada", "job_retry", "job 1", "no"), 403),
        (SchemaBehindError("powertools", 1, 2), 503),
        (TimeoutError(), 503),
        (ConnectionRefusedError(), 503),
        (ValueError("x"), None),
    ],
    ids=str,
)
def test_an_error_has_a_status(error: Exception, status: int | None) -> None:
    problem = find_problem(error)

    assert (problem and problem.status) == status


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("PUT", 405), ("DELETE", 405)])
async def test_a_page_that_shows_is_only_shown(dsn: str, method: str, status: int) -> None:
    async with furnished_console(dsn) as shop:
        answer = await shop.client.request(method, "/")

    assert answer.status_code == status


async def test_an_actor_who_is_refused_gets_the_reason(dsn: str) -> None:
    def refuse(_: object) -> None:
        raise PermissionError("not on this shift")

    async with furnished_console(dsn, actor=refuse) as shop:
        answer = await shop.client.get("/")

    assert (answer.status_code, "not on this shift" in answer.text) == (403, True)


async def test_somebody_unknown_is_led_to_where_they_sign_in(dsn: str) -> None:
    async with furnished_console(dsn, actor=lambda connection: None, login_url="/login") as shop:
        answer = await shop.client.get("/")
        act = await shop.client.post("/incidents/acknowledge", data={"id": "1"})

    assert (answer.status_code, answer.headers["location"], act.status_code) == (303, "/login", 401)


async def test_too_many_acts_are_told_when_to_go_on(dsn: str) -> None:
    async with furnished_console(dsn, rates=Rates(changes=1)) as shop:
        answers = [await shop.client.post("/incidents/acknowledge", data={"id": "1"}) for _ in range(2)]

    assert ([answer.status_code for answer in answers], answers[1].headers["retry-after"]) == ([303, 429], "60")
