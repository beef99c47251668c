"""The pages of jobs, queues, signals, executors, audit, retention, webhooks and about: each answers."""

import pytest

from tests.support.console import Shop, furnished_console

PAGES = (
    "/jobs",
    "/jobs/6",
    "/queues",
    "/queues/default",
    "/signals",
    "/signals/waits",
    "/executors",
    "/audit",
    "/audit/2",
    "/audit/export",
    "/retention",
    "/retention/prune",
    "/webhooks",
    "/webhooks/1",
    "/webhooks/1/replay",
    "/about",
    "/about/doctor",
)


@pytest.fixture
async def shop(dsn: str):
    async with furnished_console(dsn) as shop:
        yield shop


async def test_every_page_answers_with_one_heading(shop: Shop) -> None:
    answers = {path: await shop.client.get(path) for path in PAGES}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(PAGES, 200)
    assert {path: answer.text.count("<h1") for path, answer in answers.items()} == dict.fromkeys(PAGES, 1)
