"""Of a URL people see where it leads, at every door; its path, query and user may be secrets."""

import asyncio
from typing import Any

import pytest

from oban_powertools.privacy.apply_display import apply_display
from oban_powertools.privacy.display import DisplayPolicy, Kind
from oban_powertools.webhooks import Format
from tests.support.by_hand import Hand
from tests.support.command import powertools

ADA: Any = {"actor": "ada", "reason": "because of a test"}
URLS = {
    "https://hooks.example/services/TEAM/s3cr3tpath": "https://hooks.example/…",
    "https://hooks.example?key=s3cr3tpath": "https://hooks.example/…",
    "https://ada:s3cr3tpath@hooks.example:8443": "https://hooks.example:8443",
    "https://hooks.example": "https://hooks.example",
    "https://[s3cr3tpath": "[redacted]",
}


class Open(DisplayPolicy):
    """Shows everything."""

    def show(self, kind: Kind, value: Any) -> Any:
        return value


@pytest.mark.parametrize("url", URLS)
def test_a_policy_shows_of_a_url_where_it_leads(url: str) -> None:
    assert DisplayPolicy().render_text(Kind.URL, url) == URLS[url]


@pytest.mark.parametrize("form", Format)
async def test_an_endpoint_of_any_format_is_shown_without_its_path(hand: Hand, form: Format) -> None:
    url = "https://hooks.example/services/TEAM/s3cr3tpath"
    more = {"secret": "R" + "0" * 31} if form is Format.PAGERDUTY else {}
    await hand.powertools.webhooks.add(url, format=form, **more, **ADA)

    [endpoint] = await hand.powertools.webhooks.list()
    listed = await asyncio.to_thread(powertools, "webhooks", "list", dsn=hand.dsn)
    as_json = await asyncio.to_thread(powertools, "webhooks", "list", "--json", dsn=hand.dsn)

    assert apply_display(DisplayPolicy(), endpoint).to_dict()["url"] == "https://hooks.example/…"
    assert "s3cr3tpath" not in listed.out + as_json.out + repr(endpoint)
    assert "https://hooks.example/…" in listed.out


async def test_a_policy_of_the_host_may_show_it_and_the_program_itself_has_it(hand: Hand) -> None:
    url = "https://hooks.example/services/TEAM/path"
    await hand.powertools.webhooks.add(url, **ADA)

    [endpoint] = await hand.powertools.webhooks.list()

    assert endpoint.url == apply_display(Open(), endpoint).url == url
