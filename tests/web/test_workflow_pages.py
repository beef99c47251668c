"""The list of workflows, a workflow's views, and a step, as somebody on call asks for them."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest

from oban_powertools import DisplayPolicy, Workflow
from oban_powertools.web.pages import drawings
from tests.support.by_hand import Hand, chain, step
from tests.support.console import Shop, console_of, furnished_console
from tests.support.nightly import nightly

TABS = ("graph", "steps", "gantt", "events", "history", "context", "audit")
PAYLOADS = (
    "</title><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<svg onload=alert(1)>",
    "javascript:x",
)


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        yield shop


@pytest.fixture
async def here(hand: Hand) -> AsyncIterator[Shop]:
    """An empty console."""
    async with console_of(hand) as (console, client):
        yield Shop(hand, console, client)


async def text_of(shop: Shop, path: str, *, status: int = 200) -> str:
    answer = await shop.client.get(path)
    assert answer.status_code == status, f"{path}: {answer.status_code}"
    return answer.text


def rows(page: str) -> list[str]:
    """The names that the rows of a table begin with."""
    return [unescape(name) for name in re.findall(r"data-open>([^<]*)</a>", page)]


# ---- the list


async def test_the_list_has_every_workflow_with_what_holds_it_up(shop: Shop) -> None:
    page = await text_of(shop, "/workflows")

    assert rows(page) == ["order", "newsletter", "refund", "order", "order", "order"]
    assert "pack: orphaned by missing executor" in page
    assert "charge: failed" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=Blocked", ["newsletter", "order"]),
        ("state=failed", ["order"]),
        ("name=refund", ["refund"]),
        ("tag=shop", ["order"] * 4),
        ("step=approval", ["refund"]),
        ("worker=shop.workers.Send", ["newsletter"]),
        ("context=account_id%3D42", ["order"] * 4),
        ("context=%7B%22account_id%22%3A+42%7D", ["order"] * 4),
        ("error=bank", ["order"]),
        ("until=2020-01-01", []),
        ("finished_since=2020-01-01&state=completed", ["order", "order"]),
        ("key=nobody-has-it", []),
        ("label=nobody-has-it", []),
    ],
)
async def test_every_filter_of_the_call_is_in_the_address(shop: Shop, query: str, names: list[str]) -> None:
    assert rows(await text_of(shop, f"/workflows?{query}")) == names


async def test_a_list_without_a_match_says_so_and_a_list_without_anything_how_to_begin(here: Shop) -> None:
    assert "No workflow matches" in await text_of(here, "/workflows?name=x")
    assert "workflows.insert(order)" in await text_of(here, "/workflows")


@pytest.mark.parametrize("query", ["status=stuck", "since=yesterday", "context=42", "cursor=x", "state=1"])
async def test_a_filter_that_is_none_is_named_on_the_page(shop: Shop, query: str) -> None:
    page = await text_of(shop, f"/workflows?{query}")

    assert "invalid_argument" in page
    assert query.split("=")[0].removeprefix("cursor") in page


async def test_pages_of_the_list_follow_one_another_without_gap_or_repetition(here: Shop) -> None:
    await here.hand.workflows.insert_many([chain(1) for _ in range(120)])
    seen: list[str] = []
    path = "/workflows?name=chain"

    for _ in range(3):
        page = await text_of(here, path)
        seen += re.findall(r'data-open>chain</a> <span class="quiet">(\d+)', page)
        path = unescape(next(iter(re.findall(r'href="([^"]+)" rel="next"', page)), ""))

    assert path == ""
    assert len(seen) == len(set(seen)) == 120


# ---- a workflow


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("workflow_id", [1, 2, 3, 4, 5])
async def test_every_view_of_every_workflow_of_the_shop_is_there(shop: Shop, workflow_id: int, tab: str) -> None:
    page = await text_of(shop, f"/workflows/{workflow_id}?tab={tab}")

    assert page.count("<h1") == 1
    assert "panel failed" not in page
    assert f'aria-current="page">{tab.capitalize()}' in page


async def test_the_head_says_what_holds_it_up_and_offers_what_is_legal(shop: Shop) -> None:
    page = await text_of(shop, "/workflows/3")

    explained = await shop.hand.powertools.explain.workflow("3")
    assert explained.summary in unescape(page)
    assert ">Cancel</button>" in page
    assert "Not now: retry" in page


async def test_an_act_that_the_policy_refuses_is_shown_disabled_with_its_reason(dsn: str) -> None:
    async with furnished_console(dsn, authorize=lambda *_: False) as shop:
        page = await text_of(shop, "/workflows/3?step=pack")

    acts = re.findall(r"<button type=\"button\" class=\"button\" disabled>(\w+)", page)
    assert {"Cancel", "Hold"} <= set(acts)
    assert 'action="/previews"' not in page


async def test_the_graph_is_drawn_with_links_that_work_without_a_script(here: Shop) -> None:
    workflow_id = await nightly(here.hand)

    svg = drawing(await text_of(here, f"/workflows/{workflow_id}"))

    names = {node.get("id"): node.get("href") for node in svg.iter() if "node" in (node.get("class") or "").split()}
    steps = await here.hand.workflows.outline(workflow_id)
    folded = {"sync", "export"}
    assert len(names) == len(steps) - 6 - 4 + len(folded)
    assert all(str(href).startswith("?") for href in names.values())
    assert not [node for node in svg.iter() if node.get("style") or node.get("onclick")]


async def test_a_chosen_step_is_marked_and_its_root_cause_and_the_way_between_are_named(here: Shop) -> None:
    workflow_id = await nightly(here.hand)

    page = await text_of(here, f"/workflows/{workflow_id}?step=publish_catalogue")

    svg = drawing(page)
    assert [node.get("class") for node in svg.iter() if node.get("aria-current")] == ["node blocked is-focus on-path"]
    assert any("is-cause" in (node.get("class") or "") for node in svg.iter())
    assert re.search(r'<h2 id="step"[^>]*>publish_catalogue</h2>', page)
    assert "Root cause" in page


async def test_a_focus_draws_only_what_is_around_it_and_marks_where_it_goes_on(here: Shop) -> None:
    workflow_id = await here.hand.insert(chain(9))

    page = await text_of(here, f"/workflows/{workflow_id}?focus=s4")

    svg = drawing(page)
    assert titles(svg) == ["s2", "s3", "s4", "s5", "s6"]
    assert sum(node.get("class") == "end" for node in svg.iter()) == 2
    assert "4 steps are not drawn" in page


async def test_finished_steps_can_be_hidden(here: Shop) -> None:
    workflow_id = await here.hand.insert(chain(3))
    await here.hand.run(workflow_id, {"s0": None})

    assert titles(drawing(await text_of(here, f"/workflows/{workflow_id}?hide=finished"))) == ["s1", "s2"]


async def test_a_nested_workflow_and_a_map_and_a_fold_open_in_place(here: Shop) -> None:
    workflow_id = await nightly(here.hand)
    page = await text_of(here, f"/workflows/{workflow_id}")

    opened: dict[str, int] = {}
    for label in ("rebuild_index", "scan_images", "sync"):
        [href] = re.findall(rf'class="toggle" href="([^"]+)"><title>Open {label}<', page)
        inside = drawing(await text_of(here, f"/workflows/{workflow_id}{unescape(href).partition('#')[0]}"))
        opened[label] = len(titles(inside))

    closed = len(titles(drawing(page)))
    assert opened == {"rebuild_index": closed + 3, "scan_images": closed + 3, "sync": closed + 6}


async def test_a_step_inside_an_open_box_is_shown_beside_the_graph(here: Shop) -> None:
    workflow_id = await nightly(here.hand)
    child = (await here.hand.steps(workflow_id))["rebuild_index"].child_id

    page = await text_of(here, f"/workflows/{workflow_id}?step={child}/split")

    assert f"rebuild_index {child}</a>" in page
    assert titles(drawing(page)).count("split") == 1


async def test_a_word_of_the_legend_lets_the_others_stand_back(here: Shop) -> None:
    workflow_id = await here.hand.insert(chain(2))

    svg = drawing(await text_of(here, f"/workflows/{workflow_id}?word=Waiting"))

    marked = [("aside" in (node.get("class") or "").split()) for node in svg.iter() if is_node(node)]
    words = [step.status == "Waiting" for step in await here.hand.workflows.outline(workflow_id)]
    assert marked == [not word for word in words]


async def test_the_counts_of_the_legend_filter_the_steps(here: Shop) -> None:
    workflow_id = await nightly(here.hand)

    page = await text_of(here, f"/workflows/{workflow_id}?tab=steps&word=Finished")

    finished = [each.name for each in await here.hand.workflows.outline(workflow_id) if each.status == "Finished"]
    assert sorted(rows(page)) == sorted(finished)
    assert f'Finished <span class="count">{len(finished)}</span>' in page


async def test_a_chart_has_a_row_for_each_attempt_and_tells_waiting_from_working(here: Shop) -> None:
    workflow_id = await nightly(here.hand)

    page = await text_of(here, f"/workflows/{workflow_id}?tab=gantt")

    bars = re.findall(r'<svg class="bars.*?</svg>', page)
    failed = [bar for bar in bars if "work failed" in bar]
    assert len(bars) == len(await here.hand.steps(workflow_id)) + 1
    assert len(failed) == 1
    assert 'class="wait queue' in failed[0]
    assert "style=" not in page


async def test_the_history_has_what_the_call_tells(here: Shop) -> None:
    workflow_id = await nightly(here.hand)
    history = await here.hand.workflows.history(workflow_id)

    page = await text_of(here, f"/workflows/{workflow_id}?tab=history")

    assert page.count("<time ") > len(history.entries)
    assert "waited in its queue for" in page


async def test_secrets_of_the_context_and_the_args_are_hidden(here: Shop) -> None:
    workflow = Workflow("leaky", context={"password": "hunter2"})
    workflow.add("only", step({"token": "hunter2"}))
    workflow_id = await here.hand.insert(workflow)
    await here.hand.run(workflow_id, {"only": ValueError("password=hunter2")})

    pages = [await text_of(here, f"/workflows/{workflow_id}?tab={tab}&step=only") for tab in TABS]
    pages.append(await text_of(here, f"/workflows/{workflow_id}/step?name=only"))

    assert not [page for page in pages if "hunter2" in page]
    assert "[redacted]" in pages[TABS.index("context")]


async def test_a_display_policy_that_fails_shows_nothing(hand: Hand) -> None:
    class Broken(DisplayPolicy):
        def show(self, kind: object, value: Any) -> Any:
            raise RuntimeError(str(value))

    workflow = Workflow("broken", context={"label": "hunter2"})
    workflow.add("only", step({"a": "hunter2"}))
    workflow_id = await hand.insert(workflow)
    async with console_of(hand, display=Broken()) as (console, client):
        shop = Shop(hand, console, client)
        pages = [await text_of(shop, f"/workflows/{workflow_id}?tab={tab}&step=only") for tab in TABS]
        pages += [await text_of(shop, "/workflows"), await text_of(shop, f"/workflows/{workflow_id}/step?name=only")]

    assert not [page for page in pages if "hunter2" in page]


# ---- what is not there


async def test_a_workflow_that_never_was_is_not_found_and_one_that_is_gone_says_what_the_audit_knows(
    shop: Shop,
) -> None:
    assert "Nothing is here" in await text_of(shop, "/workflows/9999", status=404)
    assert "invalid_argument" in await text_of(shop, "/workflows/x", status=422)
    await shop.hand.rows(
        "SET session_replication_role = replica; DELETE FROM powertools.workflows WHERE id = 4; RESET ALL"
    )

    page = await text_of(shop, "/workflows/4", status=410)

    assert "Workflow 4 is gone" in page
    assert "the account is checked first" in page


async def test_a_step_that_is_not_there_leaves_the_rest_of_the_page(shop: Shop) -> None:
    assert "There is no step of this name" in await text_of(shop, "/workflows/3?step=nobody")
    await text_of(shop, "/workflows/3/step?name=nobody", status=404)
    assert "did you mean 'pack'?" in unescape(await text_of(shop, "/workflows/3/step?name=pakc", status=404))
    await text_of(shop, "/workflows/3/step", status=404)


async def test_a_step_whose_job_was_removed_says_so(here: Shop) -> None:
    workflow_id = await here.hand.insert(chain(1))
    await here.hand.run(workflow_id, {"s0": None})
    await here.hand.rows("DELETE FROM oban_jobs")

    page = await text_of(here, f"/workflows/{workflow_id}/step?name=s0")

    assert "Its job was removed" in page


# ---- a step


async def test_a_step_has_its_blockers_parents_attempts_errors_and_what_may_be_done(here: Shop) -> None:
    workflow_id = await nightly(here.hand)

    page = await text_of(here, f"/workflows/{workflow_id}/step?name=price_rules_uk")

    assert "scope: job" in page
    assert re.search(r"attempt 1: TimeoutError", page)
    assert "Traceback (most recent call last)" in page
    assert re.search(r">validate_prices</a>", page)
    assert page.count('<svg class="bars') == 2
    assert ">Skip</button>" in page
    assert "Not now: " in page


async def test_a_job_leads_to_oban_web_for_inspection_only(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    async with console_of(hand, oban_web="https://ops.example/oban/") as (console, client):
        page = await text_of(Shop(hand, console, client), f"/workflows/{workflow_id}?step=s0")

    job = await hand.job(workflow_id, "s0")
    assert f'href="https://ops.example/oban/jobs/{job.id}"' in page
    assert "Inspection only" in page


async def test_a_waiting_step_says_how_its_signal_is_sent(shop: Shop) -> None:
    page = await text_of(shop, "/workflows/4?step=approval")

    assert 'workflows.signal("approved", "expense-7")' in unescape(page)


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_text_of_others_is_never_markup(here: Shop, payload: str) -> None:
    workflow = Workflow(payload, context={"label": payload, payload: payload}, tags=[payload], idempotency_key=payload)
    workflow.add(payload, step({payload: payload}))
    workflow.add("next", step(queue="default"), deps=[payload])
    workflow_id = await here.hand.insert(workflow)
    await here.hand.run(workflow_id, {payload: ValueError(payload)})
    await here.hand.workflows.recover(workflow_id, actor=payload, reason=f"{payload} is the reason")

    query = {"step": payload}
    pages = [await here.client.get(f"/workflows/{workflow_id}", params={**query, "tab": tab}) for tab in TABS]
    pages += [
        await here.client.get("/workflows", params={"name": payload}),
        await here.client.get(f"/workflows/{workflow_id}/step", params={"name": payload}),
    ]

    assert {page.status_code for page in pages} == {200}
    assert not [page for page in pages if re.search(r"<script>|<img|<svg onload|href=.javascript", page.text)]
    assert all(unescape(page.text).count(payload) for page in pages)


# ---- large ones


async def test_a_large_workflow_opens_on_its_steps_and_draws_what_is_around_the_worst(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "FOCUSED_ABOVE", 20)
    monkeypatch.setattr("oban_powertools.web.pages.workflow.FOCUSED_ABOVE", 20)
    workflow_id = await here.hand.insert(chain(30))
    await here.hand.run(workflow_id, {"s0": None})

    first = await text_of(here, f"/workflows/{workflow_id}")
    graph = await text_of(here, f"/workflows/{workflow_id}?tab=graph")
    whole = await text_of(here, f"/workflows/{workflow_id}?tab=graph&all=yes&hide=nothing")

    assert 'aria-current="page">Steps' in first
    assert titles(drawing(graph)) == ["s0", "s1", "s2", "s3"]
    assert "Draw all 30" in graph
    assert len(titles(drawing(whole))) == 30


async def test_a_workflow_with_many_boxes_hides_what_finished_until_it_is_asked_for(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "DRAWN_AT_ONCE", 5)
    workflow_id = await here.hand.insert(chain(8))
    await here.hand.run(workflow_id, {"s0": None})

    page = await text_of(here, f"/workflows/{workflow_id}")

    assert titles(drawing(page)) == [f"s{n}" for n in range(1, 8)]
    assert "1 step that finished is not drawn" in page
    assert len(titles(drawing(await text_of(here, f"/workflows/{workflow_id}?hide=nothing")))) == 8


async def test_ten_thousand_steps_are_listed_and_charted_in_pages_and_more_are_not_drawn(here: Shop) -> None:
    workflow = Workflow("huge")
    workflow.add_many({f"s{n}": step() for n in range(10_001)})
    workflow_id = await here.hand.insert(workflow)

    steps = await text_of(here, f"/workflows/{workflow_id}")
    gantt = await text_of(here, f"/workflows/{workflow_id}?tab=gantt")
    graph = await text_of(here, f"/workflows/{workflow_id}?tab=graph")

    assert len(rows(steps)) == gantt.count('<svg class="bars') == 50
    assert 'rel="next"' in gantt
    assert f"powertools workflow graph {workflow_id} --size s --svg" in graph
    assert 'class="graph ' not in graph


def drawing(page: str) -> ElementTree.Element:
    """The graph on a page."""
    [svg] = re.findall(r'<svg xmlns="http://www.w3.org/2000/svg" class="graph.*?</svg>', page, re.DOTALL)
    return ElementTree.fromstring(svg.replace('xmlns="http://www.w3.org/2000/svg"', ""))


def is_node(element: ElementTree.Element) -> bool:
    return "node" in (element.get("class") or "").split()


def titles(svg: ElementTree.Element) -> list[str]:
    """What the boxes are called."""
    found = [(element.findtext("title") or "").split(", ")[0] for element in svg.iter() if is_node(element)]
    return [title.split(" \u00d7 ")[0] for title in found]


# ---- workflows that run in others


@pytest.fixture
async def nesting(here: Shop) -> Shop:
    """One that runs in another."""
    outer, inner = Workflow("outer"), Workflow("inner")
    inner.add("work", step(queue="nobody serves it"))
    outer.add_workflow("child", inner)
    await here.hand.insert(outer)
    return here


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["outer"]),
        ("status=Blocked", ["outer"]),
        ("status=Blocked&nested=yes", ["inner", "outer"]),
        ("nested=yes", ["inner", "outer"]),
        ("nested=only", ["inner"]),
        ("step=work", ["inner"]),
        ("name=inner", ["inner"]),
        ("name=inner&nested=no", []),
    ],
)
async def test_nested_workflows_are_left_out_unless_asked_or_searched_for(
    nesting: Shop, query: str, names: list[str]
) -> None:
    assert rows(await text_of(nesting, f"/workflows?{query}")) == names


async def test_a_list_without_nested_workflows_says_so_and_leads_to_them(nesting: Shop) -> None:
    page = await text_of(nesting, "/workflows")

    assert "without those that run in others" in page
    assert 'href="/workflows?nested=yes"' in page


async def test_a_nested_workflow_is_marked_with_what_it_runs_in(nesting: Shop) -> None:
    page = await text_of(nesting, "/workflows?nested=yes")

    assert '<span class="sub">in <a href="/workflows/1">workflow 1</a></span>' in page
