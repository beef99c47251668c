"""What a pointer is on stays where it is and does nothing by itself, whatever happens meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import Page, expect

from oban_powertools import Workflow
from tests.support.browser import checked, chromium, require_chromium
from tests.support.by_hand import Hand, step
from tests.support.console import furnished_console, served

EVENTS = 200

WATCH = """
([x, y]) => {
  const button = document.elementFromPoint(x, y).closest("button, .button");
  const seen = (window.seen = { boxes: new Set(), under: new Set(), changes: 0 });
  new MutationObserver((found) => { seen.changes += found.length; })
    .observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  const look = () => {
    const { x: left, y: top, width, height } = button.getBoundingClientRect();
    seen.boxes.add([left, top, width, height].join());
    seen.under.add(document.elementFromPoint(x, y)?.closest("button, .button") === button);
    requestAnimationFrame(look);
  };
  look();
}
"""
"""At each frame: where the button is, and whether it is still what is under the pointer."""

SEEN = "({ boxes: [...seen.boxes].length, under: [...seen.under], changes: seen.changes > 0 })"


@dataclass(frozen=True)
class Place:
    """A page with a button."""

    path: str
    button: str
    happens: Callable[[Hand], Awaitable[None]]
    """Something that the page is told of, so many times."""
    until: tuple[str, str]
    """What the page shows then, and where."""


async def settle(hand: Hand) -> None:
    """Steps end one after another; one is left, so that the workflow goes on."""
    workflow_id = await hand.one("SELECT id FROM powertools.workflows WHERE name = 'busy'")
    for first in range(0, EVENTS, 20):
        await hand.run(workflow_id, {f"s{n}": None for n in range(first, first + 20)})


async def assign(hand: Hand) -> None:
    """An incident goes from hand to hand."""
    for number in range(EVENTS):
        await hand.powertools.lifeline.assign_incident(1, f"person-{number:03}", actor="ada")


PLACES = {
    "cancel a workflow": Place("/workflows/{busy}", "Cancel", settle, ('[data-live="done"]', f"{EVENTS} of")),
    "steps of a workflow": Place(
        "/workflows/{busy}?tab=steps", "Cancel", settle, ('[data-live="done"]', f"{EVENTS} of")
    ),
    "repair an incident": Place("/incidents/1", "Preview", assign, ("main", f"person-{EVENTS - 1}")),
    "choose incidents": Place("/incidents", "What may be done", assign, ("main", f"person-{EVENTS - 1}")),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", PLACES)
async def test_the_button_under_the_pointer_does_not_move_or_act_during_200_live_events(
    dsn: str, name: str, width: int
) -> None:
    require_chromium()
    place = PLACES[name]
    async with furnished_console(dsn) as shop, served(shop.console) as origin, chromium() as browser:
        workflow = Workflow("busy")
        workflow.add_many({f"s{n}": step() for n in range(EVENTS + 1)})
        busy = await shop.hand.insert(workflow)
        async with checked(browser, origin, viewport={"width": width, "height": 800}) as page:
            sent: list[str] = []
            page.on("request", lambda request: sent.append(request.method))
            await page.goto(place.path.format(busy=busy))
            at = page.url
            await point_at(page, place.button)

            await place.happens(shop.hand)

            where, text = place.until
            await expect(page.locator(where).first).to_contain_text(text, timeout=60_000)
            seen = await page.evaluate(SEEN)
            await page.goto("about:blank")  # ends its stream

    assert seen == {"boxes": 1, "under": [True], "changes": True}
    assert (set(sent), at) == ({"GET"}, f"{origin}{place.path.format(busy=busy)}")


async def point_at(page: Page, button: str) -> None:
    """Rest the pointer in the middle of it, and watch it."""
    found = page.get_by_role("button", name=button).first
    await found.scroll_into_view_if_needed()
    box = await found.bounding_box()
    assert box is not None
    place = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    await page.mouse.move(*place)
    await page.evaluate(WATCH, place)
