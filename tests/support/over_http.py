"""Everything that the JSON API lets somebody read, in one text."""

from collections.abc import Mapping, Sequence
from itertools import product

import httpx

from oban_powertools import Calls
from oban_powertools.web import create_console
from oban_powertools.web.api.endpoints import ENDPOINTS, ROOT
from tests.support.console import PATIENT, client_of

ENDLESS = "stream_events"
"""The stream; its events are those of the pages."""


async def read_over_http(calls: Calls, ids: Mapping[str, Sequence[object]]) -> str:
    """The answers of every endpoint that reads.

    Args:
        ids: Name of an input of a path -> its values.
    """
    console = create_console(calls, actor=lambda connection: "somebody", read_within=PATIENT)
    async with client_of(console) as client:
        answers = [
            await client.get(f"{ROOT}{path}", params={"topic": "workflow:all", "cursor": "0"} if is_log else {})
            for path, is_log in _paths(ids)
        ]
    assert not [answer.url for answer in answers if answer.status_code not in (200, 404)]
    return "\n".join(map(_text, answers))


def _paths(ids: Mapping[str, Sequence[object]]) -> list[tuple[str, bool]]:
    paths: list[tuple[str, bool]] = []
    for row in ENDPOINTS:
        if row.method == "GET" and row.name != ENDLESS:
            named = [one.name for one in row.path_inputs]
            for values in product(*(ids[name] for name in named)):
                path = row.path.format(**dict(zip(named, values, strict=True)))
                paths.append((path, row.path == "/events"))
    return paths


def _text(answer: httpx.Response) -> str:
    return f"{answer.url}\n{answer.text}"
