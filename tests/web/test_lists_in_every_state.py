"""The lists where an actor may do nothing, where nothing may be changed, where a part fails, and with 10,000 rows."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.support.by_hand import GUARD, UNGUARD, Hand
from tests.support.console import Shop, console_of, furnished_console
from tests.support.markup import Markup, read_markup

REASON = "because of a test"
NO = "Only the night shift may."

ACTS = {
    "/audit/export": {"format": "csv"},
    "/retention/prune": {"reason": REASON, "do": "prune", "confirm": "prune"},
    "/webhooks/1/replay": {"reason": REASON},
    "/webhooks/1/disable": {"reason": REASON},
}
"""Every address of these pages that changes something."""

WITH_ACTS = ("/jobs/6", "/queues/default", "/signals", "/audit", "/retention", "/webhooks/1")
FORMS = ("/audit/export", "/retention/prune", "/webhooks/1/replay")


def refuse(*_: object) -> bool:
    raise PermissionError(NO)


@pytest.fixture
async def denied(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn, authorize=refuse) as shop:
        yield shop


@pytest.fixture
async def still(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn, read_only=True) as shop:
        yield shop


async def read(shop: Shop, path: str) -> Markup:
    return read_markup((await shop.client.get(path)).text)


async def test_what_an_actor_may_not_do_is_disabled_with_the_reason(denied: Shop) -> None:
    pages = {path: await read(denied, path) for path in WITH_ACTS}

    assert {path for path, page in pages.items() if not page.disabled} == set()
    assert {path for path, page in pages.items() if NO not in page.words} == set()


async def test_the_form_of_an_act_that_is_refused_says_why_and_has_no_button(denied: Shop) -> None:
    pages = {path: await read(denied, path) for path in FORMS}

    assert {path for path, page in pages.items() if NO not in page.words} == set()
    posts = {path: [1 for tag, given in page.tags if given.get("method") == "post"] for path, page in pages.items()}
    assert posts == {path: [] for path in FORMS}


async def test_an_act_that_is_refused_changes_nothing_and_is_recorded(denied: Shop) -> None:
    before = await denied.hand.rows("SELECT cursor, state FROM powertools.webhook_deliveries ORDER BY 1")
    answers = {path: await denied.client.post(path, data=fields) for path, fields in ACTS.items()}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(ACTS, 403)
    assert {path: NO in answer.text for path, answer in answers.items()} == dict.fromkeys(ACTS, True)
    assert await denied.hand.rows("SELECT cursor, state FROM powertools.webhook_deliveries ORDER BY 1") == before
    records = await denied.hand.powertools.audit.list(outcome="refused", surface="web")
    assert len(records) == len(ACTS)


async def test_about_says_what_one_may_not_do(denied: Shop) -> None:
    page = await read(denied, "/about")

    assert f"manage_queues queue pause, queue resume, queue scale no {NO}" in page.words


async def test_where_nothing_may_be_changed_every_act_is_disabled(still: Shop) -> None:
    pages = {path: await read(still, path) for path in WITH_ACTS}

    assert {path for path, page in pages.items() if "This console is read-only" not in page.words} == set()
    assert {path for path, page in pages.items() if not page.disabled} == set()


async def test_where_nothing_may_be_changed_every_act_is_refused(still: Shop) -> None:
    answers = {path: await still.client.post(path, data=fields) for path, fields in ACTS.items()}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(ACTS, 403)
    assert len(await still.hand.powertools.audit.list()) == 3


@pytest.mark.parametrize(
    ("path", "breaks", "still_there"),
    [
        ("/jobs", "FUNCTION powertools.find_jobs_v1", "completed 7"),
        ("/audit", "FUNCTION powertools.is_as_written_v1", "workflow_retry"),
        ("/audit/2", "FUNCTION powertools.is_as_written_v1", "no step failed that may run again"),
        ("/about", "TABLE powertools.settings", "What you may do"),
        ("/retention", "TABLE powertools.bulks", "Preview: remove what is due"),
        ("/executors", "TABLE powertools.executors", "An executor is one queue of one process"),
        ("/signals", "TABLE powertools.signals", "Open waits"),
    ],
)
async def test_a_part_that_fails_says_so_and_the_rest_is_shown(
    dsn: str, path: str, breaks: str, still_there: str
) -> None:
    async with furnished_console(dsn) as shop:
        kind, _, name = breaks.partition(" powertools.")
        await shop.hand.rows(f"ALTER {breaks} RENAME TO gone")
        answer = await shop.client.get(path)
        await shop.hand.rows(f"ALTER {kind} powertools.gone RENAME TO {name}")
        page = read_markup(answer.text)

    assert answer.status_code == 200
    assert "The rest of the page is current." in page.words
    assert still_there in page.words


async def test_a_list_that_takes_too_long_says_so_and_the_page_comes(dsn: str) -> None:
    async with (
        furnished_console(dsn, read_within=timedelta(seconds=1)) as shop,
        await psycopg.AsyncConnection.connect(dsn) as other,
    ):
        await other.execute("LOCK TABLE powertools.signals IN ACCESS EXCLUSIVE MODE")
        page = await read(shop, "/signals")
        await other.rollback()

    assert "It takes too long" in page.words
    assert "Open waits" in page.words


MANY = """
INSERT INTO oban_jobs (state, queue, worker, completed_at, tags)
SELECT 'completed', 'bulk', 'app.Bulk', timezone('UTC', now()),
  CASE WHEN n % 1000 = 0 THEN '{rare}'::text[] ELSE '{}' END
FROM generate_series(1, 10000) AS n;
INSERT INTO powertools.signals (signal, correlation_key, status, payload)
SELECT 'many', n::text, 'stored', '{}' FROM generate_series(1, 10000) AS n;
INSERT INTO powertools.executors (executor_id, node, producer, producer_scope, started_at, beating_since, beat_at,
  loop_beat_at, stopped_at, gone_after)
SELECT 'e' || n, 'node-' || n, n::text, 'default', now(), now(), now(), now(), now(), '1 min'
FROM generate_series(1, 10000) AS n
"""
RECORDS = """
INSERT INTO powertools.audit (actor_id, actor_type, action, target_type, target_id, outcome, surface, details)
SELECT 'ada', 'user', 'job_retry', 'job', n::text, 'executed', 'api', '{}' FROM generate_series(1, 10000) AS n
"""
"""10,000 of each."""


@pytest.fixture
async def crowd(hand: Hand) -> AsyncIterator[Shop]:
    await hand.rows(UNGUARD)
    for statement in MANY.split(";\n"):
        await hand.rows(statement)
    await hand.rows(f"{GUARD}; {RECORDS}; ANALYZE")
    async with console_of(hand) as (console, client):
        yield Shop(hand, console, client)
    await hand.leave_empty()


@pytest.mark.parametrize(
    ("path", "prefix", "rows"),
    [
        ("/jobs", "/jobs/", 50),
        ("/jobs?queue=bulk&state=completed", "/jobs/", 50),
        ("/audit", "/audit/", 50),
        ("/audit?actor=ada", "/audit/", 50),
    ],
)
async def test_10_000_rows_are_walked_by_keyset(crowd: Shop, path: str, prefix: str, rows: int) -> None:
    seen: list[str] = []
    for _ in range(3):
        page = await read(crowd, path)
        seen += [link for link in page.links if link.startswith(prefix) and link.removeprefix(prefix).isdigit()]
        [path] = [given["href"] for tag, given in page.tags if given.get("rel") == "next"]

    assert len(seen) == len(set(seen)) == 3 * rows
    assert seen == sorted(seen, key=lambda link: -int(link.removeprefix(prefix)))
    assert parse_qs(urlsplit(path).query)["cursor"] == [seen[-1].removeprefix(prefix)]


async def test_the_tabs_of_jobs_say_that_they_count_no_further(crowd: Shop) -> None:
    page = await read(crowd, "/jobs")

    assert "completed 10,000+" in page.words


async def test_a_search_of_jobs_that_came_to_its_bound_says_how_far_it_came(crowd: Shop) -> None:
    await crowd.hand.rows(
        "INSERT INTO oban_jobs (worker, queue) SELECT 'app.New', 'new' FROM generate_series(1, 10000)"
    )

    page = await read(crowd, "/jobs?tag=rare")

    assert "The newest 10,000 jobs were searched, and none of them fits" in page.words
    assert any("cursor=" in link and "tag=rare" in link for link in page.links)


async def test_signals_and_executors_are_walked_in_pages_too(crowd: Shop) -> None:
    signals = await read(crowd, "/signals")
    executors = await read(crowd, "/executors?status=Stopped")

    assert "50 signals on this page" in signals.words
    assert "Stopped 10000" in executors.words.replace(",", "")
    nexts = [given["href"] for page in (signals, executors) for _, given in page.tags if given.get("rel") == "next"]
    assert len(nexts) == 2
    following = [await read(crowd, path) for path in nexts]
    assert [page.words.count(" many ") for page in following] == [50, 0]
