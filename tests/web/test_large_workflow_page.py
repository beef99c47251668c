"""The page of a large workflow in Chromium: whole, nothing inline, and its boxes are links without a script."""

import re
from random import Random

import pytest

from oban_powertools import Workflow
from oban_powertools.states import WorkflowId
from tests.support.browser import checked, chromium
from tests.support.by_hand import Hand, step
from tests.support.console import console_of, served

STEPS = 5_000


async def large(hand: Hand) -> WorkflowId:
    """Each step needs one to three of those shortly before it."""
    random, near = Random(1), round(STEPS**0.5)
    workflow = Workflow("large")
    for n in range(STEPS):
        parents = random.sample(range(max(0, n - near), n), min(n, random.choice((1, 1, 1, 2, 3))))
        workflow.add(f"step_{n}", step(), deps=[f"step_{parent}" for parent in sorted(parents)])
    return await hand.insert(workflow)


@pytest.mark.timeout(180)
async def test_five_thousand_steps_are_drawn_on_a_page(hand: Hand) -> None:
    workflow_id = await large(hand)
    await hand.rows("ANALYZE powertools.steps, oban_jobs")

    async with (
        console_of(hand) as (console, _),
        served(console) as origin,
        chromium() as browser,
        checked(browser, origin, viewport={"width": 1280, "height": 800}) as page,
    ):
        await page.goto(f"{origin}/workflows/{workflow_id}?tab=graph&all=yes", wait_until="load")

        assert await page.locator("svg.graph a.node").count() == STEPS


async def test_a_box_is_a_link_without_a_script(hand: Hand) -> None:
    workflow = Workflow("two")
    workflow.add("first", step())
    workflow.add("second", step(), deps=["first"])
    workflow_id = await hand.insert(workflow)

    async with (
        console_of(hand) as (console, _),
        served(console) as origin,
        chromium() as browser,
        checked(browser, origin, java_script_enabled=False) as page,
    ):
        await page.goto(f"{origin}/workflows/{workflow_id}")
        await page.locator("svg.graph a.node", has_text="second").click()
        await page.wait_for_url(re.compile(r"step=second"))
        heading = await page.locator("#step").inner_text()

    assert heading == "second"
