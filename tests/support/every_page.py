"""Every page of the console with addresses that show it, and a shop in which each of them has something to say.

The one list for the walks in Chromium and for pictures: a page of the registry that is not here fails
``tests/web/test_every_page.py``.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from tests.support.by_hand import Hand
from tests.support.console import Shop
from tests.support.furnished import order
from tests.support.nightly import nightly

ANSWERS_OTHERWISE: Final = frozenset(
    {
        "/bulks/{id}/manifest.csv",
        "/incidents/by-fingerprint/{fingerprint:path}",
        "/previews/{id}/manifest.json",
    }
)
"""Routes that answer with a file, or lead to another page."""

ADDRESSES: Final[Mapping[str, tuple[str, ...]]] = {
    "/": ("/",),
    "/incidents": ("/incidents", "/incidents?q=nothing"),
    "/incidents/chosen": ("/incidents/chosen?id=1&id=2",),
    "/incidents/{id}": ("/incidents/1", "/incidents/2"),
    "/workflows": ("/workflows", "/workflows?name=nothing"),
    "/workflows/{id}": (
        "/workflows/7",
        "/workflows/7?step=merge_prices",
        "/workflows/7?tab=steps",
        "/workflows/7?tab=gantt",
        "/workflows/7?tab=events",
        "/workflows/7?tab=history",
        "/workflows/7?tab=context",
        "/workflows/4?tab=audit",
        "/workflows/999999",
    ),
    "/workflows/{id}/step": ("/workflows/3/step?name=pack",),
    "/jobs": ("/jobs",),
    "/jobs/{id}": ("/jobs/6",),
    "/jobs/{id}/reveal": ("/jobs/6/reveal?what=args",),
    "/workflows/{id}/reveal": ("/workflows/7/reveal?what=context",),
    "/queues": ("/queues",),
    "/queues/{name:path}": ("/queues/mail",),
    "/signals": ("/signals",),
    "/signals/waits": ("/signals/waits",),
    "/executors": ("/executors",),
    "/acts/{act}": ("/acts/step_hold?target=4/pay",),
    "/previews": ("/previews", "/previews?status=consumed", "/previews?actor=nobody"),
    "/previews/{id}": tuple(f"/previews/{number}" for number in (1, 2, 3, 4, 5)),
    "/repairs/{id}": ("/repairs/3",),
    "/bulks/new": ("/bulks/new?act=step_retry&state=discarded",),
    "/bulks/{id}": ("/bulks/1",),
    "/audit": ("/audit",),
    "/audit/export": ("/audit/export",),
    "/audit/{id}": ("/audit/2",),
    "/retention": ("/retention",),
    "/retention/prune": ("/retention/prune",),
    "/webhooks": ("/webhooks",),
    "/webhooks/{id}": ("/webhooks/1",),
    "/webhooks/{id}/{act}": ("/webhooks/1/disable", "/webhooks/1/replay"),
    "/about": ("/about",),
    "/about/api": ("/about/api",),
    "/about/components": ("/about/components",),
    "/about/doctor": ("/about/doctor",),
}
"""Route of the registry -> addresses in the shop of ``busy``."""


def addresses() -> Iterator[str]:
    """All of them."""
    for each in ADDRESSES.values():
        yield from each


def file_name(address: str) -> str:
    """The name of a picture of an address, without its end."""
    return re.sub(r"[^\w-]+", "-", address).strip("-") or "overview"


async def busy(shop: Shop) -> None:
    """Let there be a large workflow, previews in every state, a repair and a bulk repair."""
    await nightly(shop.hand)
    await _previews(shop.hand)


async def _previews(hand: Hand) -> None:
    lifeline, ada, grace = hand.powertools.lifeline, {"id": "ada"}, {"id": "grace"}
    await lifeline.preview_repair(ada, action="workflow_retry", target_type="workflow", target_id="2")
    await lifeline.preview_repair(grace, action="job_rescue", target_type="job", target_id="6")
    released = await lifeline.preview_repair(ada, action="step_release", target_type="step", target_id="4/pay")
    await lifeline.execute_repair(ada, released.preview_token or "", "the account has been checked")
    late = str(await hand.insert(order()))
    await lifeline.preview_repair(ada, action="workflow_cancel", target_type="workflow", target_id=late)
    await hand.workflows.hold(late, "pack", hold_for=timedelta(hours=1), reason="the parcel is checked", actor="grace")
    await lifeline.preview_repair(ada, action="workflow_cancel", target_type="workflow", target_id="7")
    await lifeline.preview_bulk(ada, "step_retry", {"state": "discarded"})
