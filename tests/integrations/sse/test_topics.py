"""Topics beside workflows: served only when the site names their kinds, and asked for by their names."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from oban_powertools import Cursor, Powertools
from oban_powertools.errors import InvalidArgumentError, InvalidSettingError
from oban_powertools.integrations.sse import events_app
from tests.integrations.sse.test_refusals import ask
from tests.support.event_source import EventSource
from tests.support.site import Site

TOPICS = ("incident:all", "incident:7", "executor:all", "executor:app:oban:default:n:p", "audit:all")
KINDS = ("workflow", "incident", "executor", "audit")
# Too young to be rescued, which would take the incident away.
ORPHAN = """
INSERT INTO oban_jobs (worker, state, attempt, attempted_at, attempted_by)
VALUES ('w', 'executing', 1, timezone('UTC', now()) - interval '1 min', '{node,00000000-0000-0000-0000-000000000000}')
"""


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_site_serves_workflows_alone_unless_it_names_other_kinds(powertools: Powertools, topic: str) -> None:
    async with Site(powertools).served() as site:
        answer = await ask(site, {"topic": topic})

    assert answer.status_code == 400


@pytest.mark.parametrize("topic", TOPICS)
async def test_authorize_is_asked_with_the_name_of_the_topic(powertools: Powertools, topic: str) -> None:
    asked: list[str] = []

    def allowed(_: HTTPConnection, name: str) -> bool:
        asked.append(name)
        return False

    async with Site(powertools, topics=KINDS).served() as site:
        site.allowed = allowed
        answer = await ask(site, {"topic": topic})

    assert (answer.status_code, asked) == (403, [topic])


async def test_a_kind_that_is_not_named_is_refused_though_others_are(powertools: Powertools) -> None:
    async with Site(powertools, topics=["incident"]).served() as site:
        answer = await ask(site, {"topic": "workflow:all"})

    assert (answer.status_code, answer.text) == (400, "expected ?topic=incident:all or ?topic=incident:ID\n")


@pytest.mark.parametrize("topics", [(), ["jobs"], "incident", [7]])
def test_what_is_no_kind_of_topic_is_refused(powertools: Powertools, topics: Any) -> None:
    with pytest.raises((InvalidSettingError, InvalidArgumentError)):
        events_app(powertools, authorize=lambda *_: True, topics=topics)


async def test_an_incident_arrives_with_its_cursor_and_type(powertools: Powertools) -> None:
    async with powertools._services.connect() as session:
        await session.conn.execute(ORPHAN.encode())
    async with Site(powertools, topics=KINDS).served() as site:
        source = EventSource(f"{site.url}?topic=incident:all&after=0")
        async with aclosing(source.messages()) as messages:
            await powertools.lifeline.project_incidents()
            message = await asyncio.wait_for(anext(messages), 20)

    [event, *_] = await powertools.events.read_topic("incident:all", since=Cursor(0))
    assert (message.event, message.id) == ("incident_updated", str(event.cursor))
    assert message.json == event.to_dict()
