"""Whatever stands in a text column, a list shows it as text; and what looks like a secret it does not show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from oban_powertools import DisplayPolicy
from tests.support.by_hand import GUARD, UNGUARD
from tests.support.console import Shop, furnished_console
from tests.support.markup import COMPUTED, TEMPLATE, read_markup

PAYLOAD = f"\"'></td></pre></textarea><svg/onload=alert(1)><script>alert(2)</script>{TEMPLATE}//javascript:alert(3)"

PAGES = (
    "/jobs",
    "/jobs/6",
    "/queues",
    "/signals",
    "/signals/waits",
    "/executors",
    "/audit",
    "/audit/1",
    "/audit/2",
    "/audit/3",
    "/audit/export?actor=ada",
    "/retention",
    "/retention/prune",
    "/webhooks",
    "/webhooks/1",
    "/webhooks/1/replay",
    "/about",
    "/about/doctor",
)

ELSEWHERE = ("/retention/prune", "/audit/export?actor=ada", "/about", "/about/doctor")
"""Pages that show no text of anybody's here."""

EVERYWHERE = """
UPDATE oban_jobs SET queue = {text}, worker = {text}, tags = ARRAY[{text}], attempted_by = ARRAY[{text}, 'x'],
  args = {json}, meta = meta || {json},
  errors = jsonb_build_array(jsonb_build_object('attempt', 1, 'error', {text}));
UPDATE oban_producers SET node = {text}, queue = {text};
UPDATE powertools.workflows SET name = {text}, tags = ARRAY[{text}];
UPDATE powertools.steps SET name = left({text}, 90) || position;
UPDATE powertools.steps SET queue = {text}, worker = {text} WHERE worker IS NOT NULL;
UPDATE powertools.signals SET signal = {text}, correlation_key = {text};
UPDATE powertools.waits SET signal = {text}, correlation_key = {text};
UPDATE powertools.executors SET node = {text}, producer_scope = {text}, executor_id = {text} || executor_id;
UPDATE powertools.incidents SET title = {text}, assignee = {text};
UPDATE powertools.audit SET actor_id = {text}, actor_label = {text}, action = {text}, target_type = {text},
  target_id = {text}, step = {text}, reason = {text}, request_id = {text}, plan_hash = {text},
  before = {json}, after = {json}, details = {json} || jsonb_build_object('message', {text}, 'code', {text});
UPDATE powertools.webhook_endpoints SET description = {text}, types = ARRAY[{text}], workflow_name = {text},
  enabled = false, disabled_reason = {text};
UPDATE powertools.webhook_deliveries SET error = {text},
  message = jsonb_build_object('type', {text}, 'subject', {text});
INSERT INTO powertools.prune_runs (actor, reason, outcome, error, pruned, finished_at)
VALUES (NULL, {text}, 'failed', {text}, jsonb_build_object({text}, 1), now())
"""
"""Text columns that lists show, those of Oban and ours."""


@asynccontextmanager
async def planted(dsn: str, text: str) -> AsyncIterator[Shop]:
    """The shop, with a text wherever it can have one."""
    async with furnished_console(dsn) as shop:
        await shop.hand.rows(
            "INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'node-b', 'default')"
        )
        await shop.hand.rows(UNGUARD)
        for statement in EVERYWHERE.split(";\n"):
            values = {"text": sql.Literal(text), "json": sql.Literal(Jsonb({text: text, "deep": [text]}))}
            await shop.hand.conn.execute(sql.SQL(statement).format(**values))
        await shop.hand.rows(GUARD)
        yield shop


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with planted(dsn, PAYLOAD) as shop:
        yield shop


async def test_what_a_text_column_holds_is_shown_as_text_and_never_runs(shop: Shop) -> None:
    answers = {path: await shop.client.get(path) for path in PAGES}
    pages = {path: read_markup(answer.text) for path, answer in answers.items()}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(PAGES, 200)
    assert {path: page.runs for path, page in pages.items()} == {path: [] for path in PAGES}
    assert {path for path, page in pages.items() if COMPUTED in page.text and TEMPLATE not in page.text} == set()


async def test_the_payload_is_on_every_page_that_lists_what_holds_it(shop: Shop) -> None:
    paths = [path for path in PAGES if path not in ELSEWHERE]
    pages = {path: read_markup((await shop.client.get(path)).text) for path in paths}

    assert [path for path, page in pages.items() if "alert(1)" not in page.text] == []


async def test_a_queue_of_any_name_has_its_page(shop: Shop) -> None:
    [link] = {
        link for link in read_markup((await shop.client.get("/queues")).text).links if link.startswith("/queues/")
    }

    answer = await shop.client.get(link)

    assert (answer.status_code, read_markup(answer.text).runs) == (200, [])


SECRETS = {
    "api_key": "velvetargs",
    "note": "cannot reach postgresql://app:velveturl@db.internal:5432/app",
    "said": "401 for Authorization: Bearer velvetbearer.of.some.length",
    "nested": [{"password": "velvetdeep"}],
}
LEAKS = """
UPDATE oban_jobs SET args = {json}, meta = meta || {json},
  errors = jsonb_build_array(jsonb_build_object('attempt', 1, 'error', {text}));
UPDATE powertools.webhook_endpoints SET url = 'https://user:velvetuser@ledger.example/velvetpath?token=velvettoken',
  description = {text}, enabled = false, disabled_reason = {text};
UPDATE powertools.webhook_deliveries SET error = {text},
  message = jsonb_build_object('type', 'a.b', 'subject', 's', 'data', {json})
"""
"""What is stored as it came, and is shown through the display policy only."""


async def test_what_looks_secret_is_on_no_page(dsn: str) -> None:
    text = str(SECRETS["note"]) + ", password=velvetword"
    async with furnished_console(dsn) as shop:
        await shop.hand.rows(UNGUARD)
        for statement in LEAKS.split(";\n"):
            values = {"text": sql.Literal(text), "json": sql.Literal(Jsonb(SECRETS))}
            await shop.hand.conn.execute(sql.SQL(statement).format(**values))
        await shop.hand.rows(GUARD)
        paths = (*PAGES, "/jobs/4", "/webhooks/1/replay?delivery=35", "/queues/default")
        pages = {path: (await shop.client.get(path)).text for path in paths}

    assert {path for path, page in pages.items() if "velvet" in page} == set()
    assert "[redacted]" in pages["/jobs/4"]


class Nothing(DisplayPolicy):
    """Shows nothing of anybody's."""

    def show(self, kind: object, value: object) -> object:
        return "[hidden]"


async def test_a_policy_of_the_console_hides_more_on_every_list(dsn: str) -> None:
    async with furnished_console(dsn, display=Nothing()) as shop:
        job = (await shop.client.get("/jobs/4")).text
        jobs = (await shop.client.get("/jobs")).text

    assert "the bank is down" not in job + jobs
