"""Pages that are kept current are answered a few at a time; what somebody has just opened does not wait for them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from oban_powertools.lifeline import IncidentCounts, Lifeline
from oban_powertools.web.console import AT_ONCE
from tests.support.by_hand import by_hand
from tests.support.console import console_of
from tests.support.ledger import eventually

LIVE = {"X-Powertools-Live": "yes"}
OPEN = 3 * AT_ONCE


class Gate:
    """Where the reading of each overview waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = self.most = 0
        self.opened = asyncio.Event()
        count = Lifeline.count_incidents

        async def wait(lifeline: Lifeline) -> IncidentCounts:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await self.opened.wait()
            self.inside -= 1
            return await count(lifeline)

        monkeypatch.setattr(Lifeline, "count_incidents", wait)

    def holds(self, pages: int) -> Callable[[], Awaitable[bool]]:
        async def held() -> bool:
            return self.inside == pages

        return held


async def test_pages_that_are_kept_current_are_answered_a_few_at_a_time(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with by_hand(dsn, turbo=True) as hand, console_of(hand) as (_, client), asyncio.TaskGroup() as group:
        gate = Gate(monkeypatch)
        pages = [group.create_task(client.get("/", headers=LIVE)) for _ in range(OPEN)]
        await eventually(gate.holds(AT_ONCE))
        gate.opened.set()
        answers = [await page for page in pages]

    assert [answer.status_code for answer in answers] == [200] * OPEN
    assert gate.most == AT_ONCE


async def test_what_somebody_opens_does_not_wait_in_line(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with by_hand(dsn, turbo=True) as hand, console_of(hand) as (_, client), asyncio.TaskGroup() as group:
        gate = Gate(monkeypatch)
        pages = [group.create_task(client.get("/", headers=LIVE)) for _ in range(OPEN)]
        await eventually(gate.holds(AT_ONCE))
        opened = group.create_task(client.get("/"))

        await eventually(gate.holds(AT_ONCE + 1))
        gate.opened.set()

        assert (await opened).status_code == 200
        assert {(await page).status_code for page in pages} == {200}
