"""The page of components shows every macro, so that a change to one can be seen."""

import re
from pathlib import Path

from oban_powertools.web import static_files
from tests.support.by_hand import Hand
from tests.support.console import console_of
from tests.support.markup import read_markup

TEMPLATES = Path(static_files.__file__).parent / "templates"


def test_every_macro_is_shown() -> None:
    macros = set(re.findall(r"\{% macro (\w+)\(", (TEMPLATES / "components.html").read_text()))

    assert macros - set(re.findall(r"\bc\.(\w+)\(", (TEMPLATES / "components_page.html").read_text())) == set()


async def test_it_needs_no_data_and_nothing_on_it_runs(hand: Hand) -> None:
    async with console_of(hand) as (_, client):
        answer = await client.get("/about/components")

    page = read_markup(answer.text)
    assert (answer.status_code, page.runs) == (200, [])
    assert "Needs Review suspended" in page.words


async def test_every_token_of_colour_has_its_swatch(hand: Hand) -> None:
    sheet = static_files.static_files()["console.css"].content.decode()
    async with console_of(hand) as (_, client):
        answer = await client.get("/about/components")

    swatches = re.findall(r'class="sw-([\w-]+)"', answer.text)
    assert len(swatches) > 15
    assert [token for token in swatches if f".sw-{token} {{" not in sheet] == []
