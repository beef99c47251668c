"""Workflows from the command line: listed, shown, on a terminal and as JSON."""

import re
from typing import Any

import psycopg
import pytest

from oban_powertools import Powertools, Workflow, WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.command import on_a_terminal, powertools

RED, GREEN = "\x1b[31m", "\x1b[32m"


def billing(**options: Any) -> Workflow:
    """fetch -> bill -> notify, and cleanup in any case."""
    workflow = Workflow("sync_customer", context={"account_id": 42}, tags=["nightly"], **options)
    fetch = workflow.add("fetch", step({"account": "acme-7", "token": "s3cret"}, max_attempts=3))
    workflow.add("bill", step({"customer": fetch.result["id"]}))
    workflow.add("notify", step(), deps=["bill"])
    workflow.add("cleanup", step(), deps={"bill": "continue"})
    return workflow


async def failed(hand: Hand) -> str:
    """The id of the workflow whose step bill was discarded."""
    workflow_id = await hand.insert(billing())
    await hand.run(workflow_id, {"fetch": {"id": 7, "name": "Ada"}})
    await hand.run(workflow_id, {"bill": ValueError("HTTP 503\nfrom billing")})
    return str(workflow_id)


async def test_list_shows_the_newest_first(hand: Hand) -> None:
    first = await hand.insert(chain(2))
    second = await failed(hand)

    ended = powertools("workflow", "list", dsn=hand.dsn)

    header, *rows = [line.split() for line in ended.out.split("\n\n")[0].splitlines() if not line.startswith(" ")]
    assert header == ["STATUS", "ID", "NAME", "STATE", "STEPS", "FAILED", "CANCELLED", "INSERTED", "TIME"]
    assert [row[:7] for row in rows] == [
        ["Blocked", second, "sync_customer", "running", "3/4", "1", "1"],
        ["Blocked", str(first), "chain", "running", "0/2", *rows[1][5:7]],
    ]


async def test_list_says_below_each_row_what_is_in_the_way(hand: Hand) -> None:
    await hand.insert(chain(2))

    lines = powertools("workflow", "list", dsn=hand.dsn).out.splitlines()

    assert lines[2] == "    s0: queue has no executor"


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        (("--status", "blocked"), True),
        (("--status", "Finished"), False),
        (("--context", "account_id=42", "--context", "region=eu"), True),
        (("--context", "account_id=43"), False),
        (("--label", "Customer sync", "--key", "order-7", "--worker", "tests.support.by_hand.Scripted"), True),
        (("--step", "s0", "--since", "2026-01-01"), True),
        (("--until", "2026-01-01"), False),
        (("--error", "timeout"), False),
    ],
)
async def test_list_finds_what_fits_all_options(hand: Hand, options: tuple[str, ...], matches: bool) -> None:
    context = {"account_id": 42, "region": "eu", "label": "Customer sync"}
    workflow_id = await hand.insert(chain(1, context=context, idempotency_key="order-7"))

    answer = powertools("workflow", "list", *options, "--json", dsn=hand.dsn).json

    assert [workflow["id"] for workflow in answer["workflows"]] == [str(workflow_id)] * matches


async def test_list_filters_by_state_name_and_tag(hand: Hand) -> None:
    plain, nightly = str(await hand.insert(chain(1))), await failed(hand)
    await hand.run_all(WorkflowId(int(nightly)))

    def listed(*filters: str) -> list[str]:
        answer = powertools("workflow", "list", *filters, "--json", dsn=hand.dsn).json
        return [workflow["id"] for workflow in answer["workflows"]]

    assert listed("--state", "failed") == [nightly]
    assert listed("--name", "chain") == [plain]
    assert listed("--tag", "nightly") == [nightly]
    assert listed("--tag", "nightly", "--state", "running") == []


async def test_list_goes_on_where_the_page_before_ended(hand: Hand) -> None:
    ids = [str(await hand.insert(chain(1))) for _ in range(3)]

    page = powertools("workflow", "list", "--limit", "2", "--json", dsn=hand.dsn).json
    rest = powertools("workflow", "list", "--limit", "2", "--before", page["next_before"], "--json", dsn=hand.dsn).json

    assert [workflow["id"] for workflow in page["workflows"]] == [ids[2], ids[1]]
    assert [workflow["id"] for workflow in rest["workflows"]] == [ids[0]]
    assert rest["next_before"] is None


async def test_list_says_on_stderr_how_to_get_older_ones(hand: Hand) -> None:
    await hand.insert(chain(1))
    newest = await hand.insert(chain(1))

    assert powertools("workflow", "list", "--limit", "1", dsn=hand.dsn).err == f"more: --before {newest}\n"


def test_an_empty_list_says_why_on_stderr(dsn: str) -> None:
    empty = powertools("workflow", "list", dsn=dsn)
    filtered = powertools("workflow", "list", "--state", "failed", dsn=dsn)

    assert (empty.code, empty.out, empty.err) == (0, "", "no workflow yet\n")
    assert filtered.err == "no workflow matches\n"


async def test_show_names_what_each_step_waits_for_and_what_went_wrong(hand: Hand) -> None:
    waiting = await hand.insert(billing())
    ended = await failed(hand)

    before = powertools("workflow", "show", str(waiting), dsn=hand.dsn).out
    after = powertools("workflow", "show", ended, dsn=hand.dsn).out

    assert row(before, "fetch")[:4] == ["Blocked", "fetch", "available", "0/3"]
    assert row(before, "notify") == ["Blocked", "notify", "pending", "default"]
    assert below(before, "notify") == "    waits for bill"
    assert below(after, "bill").endswith("503 from billing")
    assert row(after, "notify") == ["Finished", "notify", "cancelled", "default"]
    assert below(after, "notify") == "    cancelled by dependency"
    assert "steps          3 of 4 ended, 1 failed, 1 cancelled" in after


async def test_args_results_and_whole_errors_appear_only_where_they_were_asked_for(hand: Hand) -> None:
    workflow_id = await failed(hand)

    def shown(*options: str) -> str:
        ended = powertools("workflow", "show", workflow_id, *options, dsn=hand.dsn)
        assert ended.code == 0
        return ended.out

    for value in ("acme-7", "Ada", "Traceback"):
        assert value not in shown()
        assert value not in shown("--json")
    assert "acme-7" in shown("--step", "fetch")
    assert "Ada" in shown("--step", "fetch")
    assert "Traceback" in shown("--step", "bill")
    assert "Ada" in shown("--results")
    assert "acme-7" not in shown("--results")
    assert "s3cret" not in shown("--step", "fetch") + shown("--step", "fetch", "--json")


async def test_show_as_json_has_ids_as_text_and_instants_in_utc(hand: Hand) -> None:
    workflow_id = await failed(hand)

    answer = powertools("workflow", "show", workflow_id, "--json", dsn=hand.dsn).json

    assert answer["schema_version"] == 1
    assert answer["workflow"]["id"] == workflow_id
    assert answer["workflow"]["inserted_at"].endswith("Z")
    fetch, bill, notify, cleanup = answer["steps"]
    assert isinstance(fetch["job_id"], str)
    assert (fetch["state"], fetch["has_result"], fetch["error"]) == ("completed", True, None)
    assert (bill["state"], bill["error"]) == ("discarded", "ValueError: HTTP 503 from billing")
    assert (notify["state"], notify["job_id"]) == ("cancelled", None)
    assert cleanup["deps"] == {"bill": "continue"}


async def test_one_step_as_json_has_everything(hand: Hand) -> None:
    workflow_id = await failed(hand)

    fetch = powertools("workflow", "show", workflow_id, "--step", "fetch", "--json", dsn=hand.dsn).json["step"]
    bill = powertools("workflow", "show", workflow_id, "--step", "bill", "--json", dsn=hand.dsn).json["step"]

    assert (fetch["args"], fetch["result"]) == (
        {"account": "acme-7", "token": "[redacted]"},
        {"id": 7, "name": "Ada"},
    )
    assert bill["error"]["attempt"] == 1
    assert "Traceback" in bill["error"]["error"]


async def test_results_as_json_map_steps_to_results(hand: Hand) -> None:
    workflow_id = await failed(hand)

    answer = powertools("workflow", "show", workflow_id, "--results", "--json", dsn=hand.dsn).json

    assert answer == {"schema_version": 1, "workflow_id": workflow_id, "results": {"fetch": {"id": 7, "name": "Ada"}}}


async def test_what_is_unknown_is_not_found(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    for arguments in (["show", "999"], ["show", "999", "--results"], ["show", str(workflow_id), "--step", "nope"]):
        ended = powertools("workflow", *arguments, dsn=hand.dsn)
        assert (ended.code, ended.out) == (3, "")
        assert ended.error


def test_a_bad_id_is_a_usage_error(dsn: str) -> None:
    for bad in ("abc", "0", "\uff19", str(2**63)):
        ended = powertools("workflow", "show", bad, dsn=dsn)
        assert ended.code == 2
        assert f"{bad!r} is not an id" in ended.error


async def test_reading_cannot_write(dsn: str) -> None:
    async with Powertools.open(dsn) as client:
        await client.workflows.insert(chain(1))
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE spied (name text)")
        conn.execute(
            "CREATE FUNCTION spy(text) RETURNS text LANGUAGE sql "
            "AS 'INSERT INTO public.spied VALUES ($1) RETURNING name'"
        )
        conn.execute("ALTER TABLE powertools.workflows RENAME TO real_workflows")
        conn.execute(
            "CREATE VIEW powertools.workflows AS "
            "SELECT * FROM powertools.real_workflows WHERE public.spy(name) IS NOT NULL"
        )

    assert "cannot execute INSERT in a read-only transaction" in powertools("workflow", "list", dsn=dsn).error


async def test_columns_stay_aligned_with_wide_characters(hand: Hand) -> None:
    for name in ("顧客同期", "cafe\u0301", "plain"):
        workflow = Workflow(name)
        workflow.add("only", step())
        await hand.insert(workflow)

    lines = powertools("workflow", "list", dsn=hand.dsn).out.splitlines()

    rows = [line for line in lines[1:-2] if not line.startswith(" ")]
    assert [line[13:].split("running")[0] for line in rows] == ["plain     ", "cafe\u0301      ", "顧客同期  "]


async def test_a_name_cannot_send_control_sequences_to_the_terminal(hand: Hand) -> None:
    workflow = Workflow("evil\x1b]0;owned\x07\nname\u202e")
    workflow.add("a\x1b[2J", step())
    workflow_id = await hand.insert(workflow)

    shown = (
        powertools("workflow", "list", dsn=hand.dsn).out
        + powertools("workflow", "show", str(workflow_id), dsn=hand.dsn).out
    )

    assert "\\x1b]0;owned\\x07 name\\u202e" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


async def test_a_terminal_shows_colours_and_keeps_rows_on_one_line(hand: Hand) -> None:
    workflow = Workflow("n" * 200)
    workflow.add("only", step())
    await hand.insert(workflow)
    workflow_id = await failed(hand)

    with on_a_terminal("workflow", "list", dsn=hand.dsn, columns=70) as terminal:
        assert terminal.end() == 0
    assert max(map(len, re.sub(r"\x1b\[\d*m", "", terminal.shown).splitlines())) <= 70
    assert "nnn…" in terminal.shown
    with on_a_terminal("workflow", "show", workflow_id, dsn=hand.dsn) as terminal:
        terminal.end()
    assert RED in terminal.shown
    assert GREEN in terminal.shown


async def test_colours_vanish_with_no_color_and_without_a_terminal(hand: Hand) -> None:
    workflow_id = await failed(hand)

    with on_a_terminal("workflow", "show", workflow_id, dsn=hand.dsn, NO_COLOR="1") as terminal:
        assert terminal.end() == 0

    assert "\x1b[" not in terminal.shown
    assert "\x1b[" not in powertools("workflow", "show", workflow_id, dsn=hand.dsn).out


async def test_without_a_terminal_a_row_has_80_columns_or_those_of_the_variable(hand: Hand) -> None:
    workflow = Workflow("n" * 200)
    workflow.add("only", step())
    await hand.insert(workflow)

    plain = powertools("workflow", "list", dsn=hand.dsn)
    wide = powertools("workflow", "list", dsn=hand.dsn, COLUMNS="300")

    assert max(map(len, plain.out.splitlines())) == 80
    assert "n" * 200 in wide.out


async def test_a_name_that_the_terminal_cannot_show_is_no_reason_to_fail(hand: Hand) -> None:
    workflow = Workflow("顧客")
    workflow.add("only", step())
    await hand.insert(workflow)

    plain = powertools("workflow", "list", dsn=hand.dsn, PYTHONIOENCODING="latin-1")
    answer = powertools("workflow", "list", "--json", dsn=hand.dsn, PYTHONIOENCODING="latin-1")

    assert "\\u9867\\u5ba2" in plain.out
    assert answer.json["workflows"][0]["name"] == "顧客"


def row(table: str, first: str) -> list[str]:
    """The words of the row that has this word first, or behind the operator's."""
    [line] = [line for line in table.splitlines() if re.match(rf"((\w+ )?\w+ +)?{first} ", line)]
    return line.split()


def below(table: str, first: str) -> str:
    """The sentence below that row."""
    lines = table.splitlines()
    [number] = [number for number, line in enumerate(lines) if re.match(rf"((\w+ )?\w+ +)?{first} ", line)]
    return lines[number + 1]
