"""What a person on call reads: names instead of places, options instead of fields, one line for what is the same."""

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from oban import Job

from oban_powertools import Cursor, Workflow
from oban_powertools.acts import IN_BULK, SHORTEST_REASON
from oban_powertools.cli.doctor_commands import print_findings
from oban_powertools.cli.event_commands import lay_out
from oban_powertools.cli.rescue_text import BECAME, describe_rescue
from oban_powertools.cli.start_command import _attempt_of
from oban_powertools.lifeline.repairs.filters import FILTERS
from oban_powertools.upkeep.doctor import Finding, Level
from tests.cli.test_cli_reference import COMMANDS
from tests.support.by_hand import Hand, chain, step
from tests.support.command import Ended, powertools

WHY = ("--reason", "the bank is down")
MIGRATIONS = Path(__file__).parents[2] / "src/oban_powertools/database/sql/migrations"


async def run(hand: Hand, *arguments: str) -> Ended:
    return await asyncio.to_thread(powertools, *arguments, dsn=hand.dsn)


# Queues


async def serve(hand: Hand, *, paused: str = "false", limit: int = 3, node: str = "node-a") -> None:
    await hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at) VALUES (gen_random_uuid(), %s, 'default',"
        " jsonb_build_object('local_limit', %s::int, 'paused', %s::bool), timezone('UTC', now()))",
        node,
        limit,
        paused,
    )


@pytest.mark.parametrize(
    ("verb", "limit", "silent"),
    [("pause", (), True), ("resume", (), False), ("scale", ("5",), True), ("scale", ("3",), False)],
)
async def test_an_act_on_a_queue_says_who_has_not_done_it(
    hand: Hand, verb: str, limit: tuple[str, ...], silent: bool
) -> None:
    await serve(hand)

    ended = await run(hand, "queue", verb, "default", *limit, *WHY)

    assert ended.out.startswith(f"{0 if silent else 1} of 1 executor of queue default")
    assert ("no answer from node-a" in ended.err, ended.code) == (silent, int(silent))


@pytest.mark.parametrize("words", [("pause", "mail"), ("resume", "mail"), ("scale", "mail", "5")])
async def test_an_act_on_a_queue_that_nobody_serves_says_how_to_serve_it(hand: Hand, words: tuple[str, ...]) -> None:
    ended = await run(hand, "queue", *words, *WHY)

    assert ended.code == 3
    assert "powertools start --queues mail:10" in ended.err


async def test_a_paused_queue_offers_no_places_and_claims_none(hand: Hand) -> None:
    await serve(hand, paused="true")

    listed, shown = await run(hand, "queues", "list"), await run(hand, "queues", "show", "default")

    assert "/0" not in listed.out
    assert "of 0" not in shown.out


async def test_jobs_that_no_living_executor_has_are_counted_apart(hand: Hand) -> None:
    await serve(hand)
    await hand.rows(
        "INSERT INTO oban_jobs (state, queue, worker, attempted_by)"
        " VALUES ('executing', 'default', 'A', '{node-x,gone}')"
    )

    listed, shown = await run(hand, "queues", "list"), await run(hand, "queues", "show", "default")

    assert "ORPHANED" in listed.out
    assert re.search(r"executing +1, 1 of them orphaned", shown.out)


# What looks for incidents


async def test_watch_says_that_nobody_looks_as_the_list_does(hand: Hand) -> None:
    listed, watched = await run(hand, "incidents", "list"), await run(hand, "watch")

    assert "nobody has looked yet" in listed.err
    assert "0 incidents; nobody has looked yet" in watched.out


# The doctor


async def test_findings_that_are_the_same_are_printed_once(hand: Hand) -> None:
    for name in ("deleted", "updated"):
        await hand.rows(f"ALTER TABLE oban_jobs DISABLE TRIGGER powertools_jobs_{name}")

    ended = await run(hand, "doctor")

    [line] = [line for line in ended.out.splitlines() if line.startswith("error [triggers]")]
    assert "powertools_jobs_deleted" in line
    assert "powertools_jobs_updated" in line
    texts = [line for line in ended.out.splitlines() if line.startswith("  ")]
    assert len(texts) == len({*texts})


def finding(number: int, **more: str) -> Finding:
    facts = {"found": "it is gone", "expected": "it is there", "todo": "mend it", **more}
    return Finding(check="triggers", level=Level.ERROR, subject=f"trigger {number}", **facts)


@pytest.mark.parametrize(("alike", "lines"), [(3, 1), (4, 5)])
def test_many_findings_of_one_cause_are_counted_and_have_a_line_each(
    alike: int, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    print_findings([finding(number) for number in range(alike)])

    told = capsys.readouterr().out.splitlines()
    assert len(told) == lines + 2
    assert all(any(f"trigger {number}" in line for line in told) for number in range(alike))


def test_what_to_do_stands_right_below_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    off = {"found": "it is off", "todo": "switch it on"}
    print_findings([finding(1), finding(2, **off), finding(3)])

    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in told if not line.startswith("expected")] == [
        "error [triggers] trigger 1, trigger 3: it is gone",
        "to do:    mend it",
        "error [triggers] trigger 2: it is off",
        "to do:    switch it on",
    ]


async def test_notes_are_hidden_and_announced_without_their_option(hand: Hand) -> None:
    hidden, shown = await run(hand, "doctor"), await run(hand, "doctor", "--notes")

    assert "note [" not in hidden.out
    assert "(--notes shows them)" in hidden.out
    assert "note [" in shown.out
    assert "(--notes" not in shown.out


async def test_a_queue_without_an_executor_is_found_with_the_command_that_serves_it(hand: Hand) -> None:
    await hand.insert(chain(1))
    await hand.rows("UPDATE oban_jobs SET scheduled_at = timezone('UTC', now()) - interval '2 min'")

    ended = await run(hand, "doctor")

    assert "  to do:    start one: powertools start --queues default:10\n" in ended.out
    assert not re.search(r"\b1 (checks|findings|notes)\b", ended.out)


# Options


def test_every_reason_says_how_long_it_has_to_be() -> None:
    reasons = [
        param
        for command in COMMANDS.values()
        for param in command.params
        if isinstance(param, click.Option) and param.name == "reason"
    ]

    assert len(reasons) > 10
    assert [param.help for param in reasons if f"{SHORTEST_REASON} characters" not in (param.help or "")] == []


@pytest.mark.parametrize("action", IN_BULK)
async def test_an_empty_filter_of_a_bulk_names_the_options_of_the_command(hand: Hand, action: Any) -> None:
    ended = await run(hand, "bulk", "preview", action, *(("--for", "2h") if action.endswith("hold") else ()))

    options = {name for param in COMMANDS["bulk", "preview"].params for name in param.opts}
    named = ended.err.split("one at least of: ")[1].strip().split(", ")
    _, keys = FILTERS[action.row.targets[0]]
    assert {*named} <= options
    assert len(named) == len(keys) + 1
    assert "--incident" in named


async def test_a_filter_of_a_bulk_that_is_none_of_the_act_is_named_by_its_option(hand: Hand) -> None:
    ended = await run(hand, "bulk", "preview", "job_cancel", "--workflow-name", "bill")

    assert "the filter names --workflow-name" in ended.err


async def test_a_bulk_takes_the_steps_of_one_workflow(hand: Hand) -> None:
    first, second = await hand.insert(chain(2)), await hand.insert(chain(2))

    shown = await run(hand, "bulk", "preview", "step_cancel", "--workflow-id", str(second), "--step", "s0")

    assert f"{second}/s0" in shown.out
    assert f"{first}/s0" not in shown.out


# Previews


async def test_a_preview_names_steps_and_their_states_as_lists_do(hand: Hand) -> None:
    workflow = Workflow("bill")
    workflow.add("fetch", step())
    workflow.add("charge", step(), deps=["fetch"])
    workflow_id = await hand.insert(workflow)
    await hand.start((await hand.job(workflow_id, "fetch")).id)
    listed = (await hand.steps(workflow_id))["fetch"]

    shown = await run(hand, "repair", "preview", "step_complete", f"{workflow_id}/fetch", "--payload", "1")

    assert listed.state == "executing"
    assert re.search(rf"step {workflow_id}/fetch +state +executing +completed", shown.out)
    assert f"new job of step {workflow_id}/charge" in shown.out
    assert not re.search(rf"step {workflow_id}/\d", shown.out)


async def test_what_only_a_program_calls_does_not_stand_beside_the_act_of_an_operator(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    shown = await run(hand, "workflow", "explain", str(workflow_id), "s0")

    assert "step_complete" in shown.out
    assert "complete_step" not in shown.out


# Rescues


def test_every_end_of_a_rescue_and_every_why_has_its_words() -> None:
    [text] = [path.read_text() for path in MIGRATIONS.glob("0015_*.sql")]
    checks = (re.findall(rf"CHECK \({name} IN \((.*)\)\)", text)[0] for name in ("action", "why"))
    actions, whys = (re.findall(r"'(\w+)'", check) for check in checks)
    spoken = {why: describe_rescue({"why": why}).rpartition(": ")[2] for why in whys}

    # a job that was asked to stop is cancelled by whoever would have run it again
    assert {*actions, "cancelled"} == BECAME.keys()
    assert [why for why, words in spoken.items() if " " not in words] == []


# Events


async def test_an_event_fits_into_a_terminal_and_is_one_line_without_one(hand: Hand) -> None:
    workflow = Workflow("the_monthly_bill_of_every_customer")
    workflow.add("charge_the_card_of_the_customer", step(max_attempts=2))
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"charge_the_card_of_the_customer": ValueError("the bank is down " * 8)})
    events = await hand.powertools.events.read(since=Cursor(0))

    for event in events:
        lines = [click.unstyle("".join(parts)) for parts in lay_out(event, 80)]
        [whole] = [click.unstyle("".join(parts)) for parts in lay_out(event, None)]
        assert max(map(len, lines)) <= 80
        assert " ".join(" ".join(lines).split()) == " ".join(whole.split())


# Commands that an answer ends with, and names that were mistyped


async def test_the_doctors_commands_repeat_the_options_that_named_the_database(hand: Hand) -> None:
    await hand.insert(chain(1))
    await hand.rows("UPDATE oban_jobs SET scheduled_at = now() - interval '10 min'")

    told = powertools("doctor", "--dsn", hand.dsn, COLUMNS="400").out

    assert f"start one: powertools start --queues default:10 --dsn {shlex.quote(hand.dsn)}" in told


async def test_a_queue_that_was_mistyped_is_not_suggested_to_be_started(hand: Hand) -> None:
    await hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'node-a', 'default')")

    mistyped = powertools("queue", "pause", "defualt", "--reason", "because of a test", dsn=hand.dsn)
    unknown = powertools("queue", "pause", "billing", "--reason", "because of a test", dsn=hand.dsn)

    assert "powertools start" not in mistyped.error
    assert "did you mean 'default'" in mistyped.error
    assert "powertools start --queues billing:10" in unknown.error


def test_a_bulk_repair_that_there_is_not_is_called_so(shared_dsn: str) -> None:
    ended = powertools("bulk", "status", "9", dsn=shared_dsn)

    assert (ended.code, ended.error.partition(" (")[0]) == (3, "there is no such bulk repair")


def test_the_log_of_a_worker_that_cannot_be_imported_counts_no_attempt() -> None:
    job = Job("app.Gone", id=7, attempt=1, max_attempts=3)

    told = _attempt_of({"job": job, "error_type": "WorkerResolutionError"})

    assert told == "job 7 app.Gone not begun, no attempt used up,"
    assert _attempt_of({"job": job, "error_type": "KeyError"}) == "job 7 app.Gone attempt 1/3"


async def test_a_setting_that_has_no_effect_says_so(hand: Hand) -> None:
    why = ("--reason", "because of a test")

    short = powertools("settings", "set", "incident_hung_unknown_after", "20s", *why, dsn=hand.dsn)
    listed = powertools("settings", "list", dsn=hand.dsn)
    low = powertools("settings", "set", "incident_hung_after", "10s", *why, dsn=hand.dsn)

    told = "incident_hung_unknown_after is 20s, and has no effect while incident_hung_after is longer (5m): that counts"
    assert (told in short.err, told in listed.err, low.err) == (True, True, "")
