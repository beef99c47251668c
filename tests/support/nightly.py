"""A nightly import with steps of every kind and state: what the pages of a workflow are looked at with, and tested.

async with by_hand(dsn, turbo=True) as hand:
    workflow_id = await nightly(hand)
"""

from datetime import timedelta
from typing import Any, ClassVar

from oban import Job

from oban_powertools import Workflow
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, step

SHOPS = ("berlin", "bologna", "bratislava", "bristol", "brno", "budapest")
MARKETS = ("at", "de", "fr", "it")


WORKERS = """
UPDATE powertools.steps s
SET worker = 'shop.catalogue.' || replace(initcap(regexp_replace(s.name, '^(sync|export)_.*', '\\1_one')), '_', '')
FROM powertools.workflows w WHERE w.id = s.workflow_id AND w.name = 'nightly_import' AND s.worker IS NOT NULL;
UPDATE oban_jobs j SET worker = s.worker
FROM powertools.steps s WHERE s.job_id = j.id AND s.worker LIKE 'shop.catalogue.%'
"""
"""Nobody runs them any more, so they may be called as in a shop."""


class ScanImage:
    """The worker of the map's items."""

    _opts: ClassVar[dict[str, Any]] = {"max_attempts": 1, "queue": "media"}

    async def process(self, job: Job) -> Any:
        raise AssertionError("nobody runs it")


async def nightly(hand: Hand) -> WorkflowId:
    """Its index waits for thumbnails, which wait in a queue that nobody serves; one price list is tried again."""
    workflow_id = await hand.insert(nightly_import())
    done = ["load_exchange_rates", "fetch_price_feed", "fetch_stock_feed", "fetch_manifest"]
    await hand.run(workflow_id, {name: {"ok": True} for name in done})
    await hand.run(workflow_id, {"fetch_images": ["a.png", "b.png", "c.png"]})
    await hand.run(workflow_id, {"validate_prices": {"rows": 2_114}, "validate_stock": {"rows": 977}})
    await hand.run(workflow_id, {"price_rules_eu": {"changed": 12}})
    await hand.run(workflow_id, {"price_rules_uk": TimeoutError("GET https://tax.example/uk/v2/bands took 30 s")})
    await hand.run(workflow_id, {f"sync_{shop}": None for shop in SHOPS[:4]})
    await hand.start((await hand.job(workflow_id, "sync_brno")).id)
    await hand.rows(f"SET session_replication_role = replica; {WORKERS}; SET session_replication_role = origin")
    return workflow_id


def nightly_import() -> Workflow:
    """29 steps, some in a nested workflow and in a map."""
    workflow = Workflow(
        "nightly_import",
        context={"label": "night of 28 November", "region": "eu", "api_key": "hunter2"},
        tags=["nightly", "catalogue"],
        idempotency_key="nightly-2026-11-28",
        definition_version="7",
    )

    def add(name: str, *parents: str, queue: str = "default", go_on: tuple[str, ...] = (), **options: Any) -> None:
        deps = dict.fromkeys(parents, "cancel") | dict.fromkeys(go_on, "continue")
        workflow.add(name, step({"run": 28}, queue=queue, max_attempts=5), deps=deps, **options)

    add("load_exchange_rates")
    add("fetch_price_feed")
    add("fetch_stock_feed")
    add("fetch_manifest")
    add("fetch_images", "fetch_manifest")
    add("validate_prices", "fetch_price_feed")
    add("validate_stock", "fetch_stock_feed")
    add("price_rules_eu", "load_exchange_rates", "validate_prices")
    add("price_rules_uk", "validate_prices")
    for shop in SHOPS:
        workflow.add(f"sync_{shop}", step({"shop": shop}, max_attempts=3), deps=["validate_stock"])
    add("render_thumbnails", "fetch_images", queue="media")
    workflow.map("scan_images", ScanImage, over=workflow.result("fetch_images"))
    add("merge_prices", "price_rules_eu", "price_rules_uk")
    add("reconcile_stock", *(f"sync_{shop}" for shop in SHOPS))
    add("attach_images", "render_thumbnails", "scan_images")
    workflow.await_signal(
        "legal_review",
        signal="catalogue.approved",
        correlation_key="2026-11-28",
        deadline=timedelta(hours=4),
        deps=["validate_prices"],
    )
    add("merge_catalogue", "merge_prices", "reconcile_stock", "attach_images")
    for market in MARKETS:
        deps = {"merge_catalogue": "cancel", "legal_review": "continue"}
        workflow.add(f"export_{market}", step({"market": market}, max_attempts=3), deps=deps)
    workflow.add_workflow("rebuild_index", rebuild_index(), deps=["merge_catalogue"])
    add("publish_catalogue", "rebuild_index", go_on=tuple(f"export_{market}" for market in MARKETS))
    add("notify_team", go_on=("publish_catalogue",))
    return workflow


def rebuild_index() -> Workflow:
    """A nested one."""
    workflow = Workflow("rebuild_index")
    for name in ("split", "write", "swap"):
        workflow.add(name, step(), deps=[each.name for each in workflow.steps][-1:])
    return workflow
