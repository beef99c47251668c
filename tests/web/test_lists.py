"""The pages of jobs, queues, signals, executors, audit, retention, webhooks and about: what each shows of the shop."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from oban_powertools.web.api.endpoints import ENDPOINTS
from tests.support.by_hand import GUARD, UNGUARD, Hand
from tests.support.console import Shop, console_of, furnished_console
from tests.support.markup import Markup, read_markup

REASON = "because of a test"
HOUR = timedelta(hours=1)
PAGES = (
    "/jobs",
    "/jobs/6",
    "/queues",
    "/queues/default",
    "/signals",
    "/signals/waits",
    "/executors",
    "/audit",
    "/audit/2",
    "/audit/export",
    "/retention",
    "/retention/prune",
    "/webhooks",
    "/webhooks/1",
    "/webhooks/1/replay",
    "/about",
    "/about/doctor",
    "/about/api",
)
LISTS = ("/jobs", "/queues", "/signals", "/signals/waits", "/executors", "/audit", "/webhooks")


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn, oban_web="https://oban.example/oban/") as shop:
        yield shop


async def read(shop: Shop, path: str) -> Markup:
    answer = await shop.client.get(path)
    assert answer.status_code == 200, answer.text
    return read_markup(answer.text)


async def test_every_page_answers_with_one_heading_and_nothing_that_runs(shop: Shop) -> None:
    answers = {path: await shop.client.get(path) for path in PAGES}
    pages = {path: read_markup(answer.text) for path, answer in answers.items()}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(PAGES, 200)
    assert {path: [tag for tag, _ in page.tags].count("h1") for path, page in pages.items()} == dict.fromkeys(PAGES, 1)
    assert {path: page.runs for path, page in pages.items()} == {path: [] for path in PAGES}


async def test_jobs_lead_with_the_word_of_their_step_and_say_what_is_in_the_way(shop: Shop) -> None:
    page = await read(shop, "/jobs")

    assert "Blocked executing shop.workers.Pack pack of workflow 3" in page.words
    assert "orphaned by missing executor" in page.words
    assert "ConnectionError: the bank is down" in page.words
    assert {"/jobs/6", "/workflows/3?step=pack", "/queues/mail"} <= set(page.links)


async def test_the_states_of_jobs_are_tabs_with_their_counts(shop: Shop) -> None:
    page = await read(shop, "/jobs?state=discarded")

    assert "All available 2 executing 1 completed 7 discarded 1" in page.words
    assert [link for link in page.links if link.startswith("/jobs/")] == ["/jobs/4"]


async def test_a_filter_of_jobs_is_in_the_address_and_counts_nothing_it_cannot(shop: Shop) -> None:
    page = await read(shop, "/jobs?error=bank&worker=shop.workers.Charge")

    assert [link for link in page.links if link.startswith("/jobs/")] == ["/jobs/4"]
    assert "/jobs?error=bank&worker=shop.workers.Charge&state=discarded" in page.links
    assert "completed 7" not in page.words


async def test_a_job_is_explained_with_its_incident_and_its_legal_repairs(shop: Shop) -> None:
    page = await read(shop, "/jobs/6")

    assert "Job 6 is marked executing, but its executor" in page.words
    assert "/incidents/1" in page.links
    assert page.words.index("Preview: rescue job") < page.words.index("Preview: cancel job")
    assert "Retry job Not now: cannot job_retry job 6: it is executing" in page.words


async def test_a_job_leads_to_oban_web_for_inspection_only(shop: Shop) -> None:
    page = await read(shop, "/jobs/6")

    assert "https://oban.example/oban/jobs/6" in page.links
    assert "Inspection only" in page.words


async def test_a_failed_job_shows_its_error_with_its_traceback(shop: Shop) -> None:
    page = await read(shop, "/jobs/4")

    assert "attempt 1: ConnectionError: the bank is down" in page.words
    assert "Traceback (most recent call last)" in page.words


async def test_a_job_that_is_gone_is_not_found(shop: Shop) -> None:
    answer = await shop.client.get("/jobs/4711")

    assert (answer.status_code, "job 4711 does not exist" in answer.text) == (404, True)


async def test_a_blocked_queue_leads_and_is_the_title(shop: Shop) -> None:
    page = await read(shop, "/queues")

    assert "2 queues are blocked" in page.words
    assert page.words.index("powertools_webhooks") < page.words.index("Runnable")


async def test_a_queue_that_nobody_serves_says_what_starts_it(shop: Shop) -> None:
    page = await read(shop, "/queues/mail")

    assert "powertools start --queues mail:10" in page.words
    assert "No executor serves it that could be told." in page.words
    assert page.disabled == 3


async def test_a_queue_says_who_serves_it_and_who_holds_its_places(shop: Shop) -> None:
    await shop.hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, meta) VALUES (gen_random_uuid(), 'node-b', 'default',"
        ' \'{"local_limit": 10, "paused": true}\')'
    )

    page = await read(shop, "/queues/default")

    assert "node-b Paused 0 of 10" in page.words
    assert "pack of workflow 3 node-a 1 12 min ago" in page.words
    assert "/acts/queue_resume?target=default" in page.links


async def test_a_stored_signal_stands_beside_the_wait_that_looks_alike(shop: Shop) -> None:
    page = await read(shop, "/signals")

    assert "Expense 7" in page.words
    assert "approval of workflow 4 key expense-7" in page.words
    assert "Give it to approval" in page.words


async def test_waits_say_until_when_they_wait(shop: Shop) -> None:
    page = await read(shop, "/signals/waits")

    assert "approved 1 expense-7 24 min ago 4 refund approval in 5 h" in page.words


async def test_executors_are_grouped_by_node_and_the_title_says_what_is_wrong(shop: Shop) -> None:
    page = await read(shop, "/executors")

    assert "node-a is missing" in page.words
    assert "node-b 1 executor default Healthy 20 s ago with its beat 0 3 h ago" in page.words
    assert "Not stopped 2 Missing 1 Late 0 Healthy 1 Stopped 0" in page.words


async def test_when_all_are_late_at_once_the_clock_and_the_network_are_suspected(shop: Shop) -> None:
    await shop.hand.rows("UPDATE powertools.executors SET beat_at = now() - interval '1 hour', loop_beat_at = beat_at")

    page = await read(shop, "/executors")

    assert "Look at the database's clock and at the network first, not at the workers" in page.words


async def test_the_audit_says_who_what_why_and_what_came_of_it(shop: Shop) -> None:
    page = await read(shop, "/audit")

    assert "Chain verified the newest 3 records" in page.words
    assert "ada user workflow_retry workflow 1 Refused cannot retry workflow 1" in page.words
    assert {"/audit/2", "/workflows/1"} <= set(page.links)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("outcome=refused", ["2"]),
        ("actor=ada&action=step_hold", ["1"]),
        ("type=agent", []),
        ("surface=cli", ["3", "2", "1"]),
        ("target=workflow:1", ["2"]),
        ("since=2999-01-01", []),
        ("until=2999-01-01&target=step", ["1"]),
    ],
)
async def test_the_audit_is_filtered_by_what_the_address_says(shop: Shop, query: str, ids: list[str]) -> None:
    page = await read(shop, f"/audit?{query}")

    assert [link.removeprefix("/audit/") for link in page.links if link[:7] == "/audit/" and link[7:].isdigit()] == ids


async def test_a_filter_that_is_no_word_is_refused_with_what_there_is(shop: Shop) -> None:
    answer = await shop.client.get("/audit?outcome=perhaps")

    assert (answer.status_code, "executed" in answer.text) == (422, True)


async def test_a_record_shows_what_changed_and_that_it_is_unchanged(shop: Shop) -> None:
    page = await read(shop, "/audit/1")

    assert "Unchanged since it was written" in page.words
    assert "What changed" in page.words
    assert "the account is checked first" in page.words


async def test_a_refused_record_says_why(shop: Shop) -> None:
    page = await read(shop, "/audit/2")

    assert "Refused, so nothing was done cannot retry workflow 1: no step failed that may run again" in page.words
    assert "illegal_transition" in page.words


async def test_a_broken_chain_is_said_on_top_with_the_first_bad_record(shop: Shop) -> None:
    await shop.hand.rows(f"{UNGUARD}; UPDATE powertools.audit SET reason = 'another' WHERE id = 2; {GUARD}")

    page = await read(shop, "/audit")
    record = await read(shop, "/audit/2")

    assert "The audit was tampered with record 2 was changed after it was written" in page.words
    assert "/audit/2" in page.links
    assert "This record cannot be trusted" in record.words


async def test_an_export_as_jsonl_is_every_record_and_is_recorded_itself(shop: Shop) -> None:
    answer = await shop.client.post("/audit/export?outcome=refused", data={"format": "jsonl"})

    assert answer.headers["content-disposition"] == 'attachment; filename="audit.jsonl"'
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == ["2"]
    [exported] = await shop.hand.powertools.audit.list(action="audit_export")
    assert (exported.actor_id, exported.surface, exported.details["outcome"]) == ("ada", "web", "refused")


async def test_an_export_as_csv_is_no_formula_in_a_spreadsheet(shop: Shop) -> None:
    reason = '=HYPERLINK("http://evil.example")'
    await shop.hand.workflows.hold("3", "mail", hold_for=HOUR, reason=reason, actor="ada")

    answer = await shop.client.post("/audit/export", data={"format": "csv"})

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["action"] for row in rows] == [
        "step_hold",
        "workflow_retry",
        "manage_webhooks",
        "step_hold",
        "audit_export",
    ]
    assert rows[3]["reason"] == '\'=HYPERLINK("http://evil.example")'


async def test_retention_says_what_is_kept_for_how_long(shop: Shop) -> None:
    page = await read(shop, "/retention")

    assert "workflows 30 d yes 6" in page.words
    assert "archive for ever" in page.words


async def test_a_prune_is_rehearsed_and_only_its_word_removes_anything(shop: Shop) -> None:
    await shop.hand.rows(
        "UPDATE powertools.workflows SET inserted_at = now() - interval '91 d', finished_at = now() - interval '90 d'"
        " WHERE id = 1; DELETE FROM powertools.event_batches"
    )

    rehearsed = await shop.client.post("/retention/prune", data={"reason": REASON, "do": "rehearse"})
    untyped = await shop.client.post("/retention/prune", data={"reason": REASON, "do": "prune", "confirm": "yes"})
    kept = await shop.hand.one("SELECT count(*) FROM powertools.workflows WHERE id = 1")
    pruned = await shop.client.post("/retention/prune", data={"reason": REASON, "do": "prune", "confirm": "prune"})

    assert "Rehearsed just now, and rolled back" in rehearsed.text
    assert (untyped.status_code, "Type prune to confirm. Nothing was removed." in untyped.text) == (422, True)
    assert kept == 1
    assert (pruned.status_code, pruned.headers["location"]) == (303, "/retention?said=pruned")
    assert await shop.hand.one("SELECT count(*) FROM powertools.workflows WHERE id = 1") == 0


async def test_a_prune_without_a_reason_is_asked_for_one(shop: Shop) -> None:
    answer = await shop.client.post("/retention/prune", data={"reason": "short", "do": "rehearse"})

    assert (answer.status_code, "expected 8 at least" in answer.text) == (422, True)


async def test_webhooks_show_the_host_of_an_address_alone(shop: Shop) -> None:
    pages = [await shop.client.get(path) for path in ("/webhooks", "/webhooks/1", "/webhooks/1/replay")]

    assert [("ledger.example/…" in page.text, "/hook" in page.text) for page in pages] == [(True, False)] * 3


async def test_an_endpoint_shows_the_outcomes_of_the_day_as_a_drawing_and_as_numbers(shop: Shop) -> None:
    page = await read(shop, "/webhooks/1")

    labels = [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert "0 delivered and 10 dead in the last 24 hours" in labels
    assert "Deliveries that ended, by hour in UTC" in page.words


async def test_deliveries_are_sent_again_after_a_look_at_them(shop: Shop) -> None:
    form = await read(shop, "/webhooks/1/replay")
    unexplained = await shop.client.post("/webhooks/1/replay", data={"reason": ""})
    sent = await shop.client.post("/webhooks/1/replay", data={"reason": REASON})

    assert "Send 10 deliveries again" in form.words
    assert unexplained.status_code == 422
    assert (sent.status_code, sent.headers["location"]) == (303, "/webhooks/1?said=replayed")
    states = await shop.hand.rows("SELECT DISTINCT state FROM powertools.webhook_deliveries")
    assert [row["state"] for row in states] == ["pending"]


async def test_one_delivery_is_sent_again(shop: Shop) -> None:
    form = await read(shop, "/webhooks/1/replay?delivery=34")
    sent = await shop.client.post("/webhooks/1/replay?delivery=34", data={"reason": REASON})

    assert "Send 1 delivery again" in form.words
    assert sent.status_code == 303
    pending = await shop.hand.rows("SELECT cursor FROM powertools.webhook_deliveries WHERE state = 'pending'")
    assert [row["cursor"] for row in pending] == [34]


async def test_an_endpoint_is_disabled_and_enabled_with_a_reason(shop: Shop) -> None:
    disabled = await shop.client.post("/webhooks/1/disable", data={"reason": REASON})
    page = await read(shop, "/webhooks/1")
    enabled = await shop.client.post("/webhooks/1/enable", data={"reason": REASON})

    assert (disabled.status_code, enabled.status_code) == (303, 303)
    assert f"Disabled {REASON}" in page.words


async def test_about_says_which_versions_run_and_what_one_may_do(shop: Shop) -> None:
    page = await read(shop, "/about")

    assert "Schema powertools is at version 24, as this release needs" in page.words
    assert "manage_queues queue pause, queue resume, queue scale yes" in page.words
    assert "htmx.min.js" in page.words


async def test_the_doctor_is_asked_on_a_page_of_its_own(shop: Shop) -> None:
    page = await read(shop, "/about/doctor")

    assert "To do:" in page.words


async def test_with_nothing_there_every_list_says_what_would_appear(hand: Hand) -> None:
    async with console_of(hand) as (_, client):
        pages = {path: read_markup((await client.get(path)).text).words for path in LISTS}

    assert "No job yet" in pages["/jobs"]
    assert "No queue" in pages["/queues"]
    assert "No signal is stored" in pages["/signals"]
    assert "Nothing waits for a signal" in pages["/signals/waits"]
    assert "No heartbeat has ever come" in pages["/executors"]
    assert "No operator action yet" in pages["/audit"]
    assert "powertools webhooks add" in pages["/webhooks"]


async def test_where_nothing_fits_every_list_says_so_and_clears_the_filter(shop: Shop) -> None:
    nothing = {
        "/jobs?queue=nowhere": "No job fits",
        "/signals?name=nothing": "No stored signal fits",
        "/signals/waits?key=nothing": "No wait fits",
        "/executors?status=Stopped": "None is stopped",
        "/audit?actor=nobody": "No record fits",
        "/webhooks/1?state=pending": "None is pending",
    }
    pages = {path: await read(shop, path) for path in nothing}

    assert {path: sentence in pages[path].words for path, sentence in nothing.items()} == dict.fromkeys(nothing, True)
    assert {path: path.partition("?")[0] in pages[path].links for path in nothing} == dict.fromkeys(nothing, True)


async def test_jobs_are_found_by_the_word_of_their_step(shop: Shop) -> None:
    page = await read(shop, "/jobs?status=Blocked")

    assert [link for link in page.links if link.startswith("/jobs/")] == ["/jobs/7", "/jobs/6"]


async def test_jobs_are_chosen_for_a_bulk_repair_and_all_that_fit_are_one_too(shop: Shop) -> None:
    page = await read(shop, "/jobs?state=discarded&queue=default")

    boxes = [
        given["value"]
        for tag, given in page.tags
        if tag == "input" and given.get("type") == "checkbox" and given.get("name") == "id"
    ]
    verbs = [given["value"] for tag, given in page.tags if tag == "button" and given.get("name") == "act"]
    assert (boxes, verbs) == (["4"], ["job_retry", "job_cancel", "job_discard"])
    assert "/bulks/new?act=job_retry&state=discarded&queue=default" in page.links


async def test_what_no_manifest_can_be_made_of_is_not_offered_as_one(shop: Shop) -> None:
    page = await read(shop, "/jobs?state=discarded&error=bank")

    assert not [link for link in page.links if link.startswith("/bulks/new")]


async def test_every_row_of_a_list_can_be_stepped_to(shop: Shop) -> None:
    pages = {path: await read(shop, path) for path in LISTS}

    rows = {path: [1 for _, given in page.tags if "data-row" in given] for path, page in pages.items()}
    assert {path for path, found in rows.items() if not found} == set()


async def test_the_page_of_the_api_names_every_operation(shop: Shop) -> None:
    answer = (await shop.client.get("/about/api")).text.replace("<wbr>", "")

    assert [row.path for row in ENDPOINTS if f">{row.method} <" not in answer and row.path not in answer] == []
