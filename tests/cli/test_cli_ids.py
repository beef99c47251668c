"""In all JSON that commands print every id is text, at any depth, and beside every state stands the operator's word.

All ids of the database are large, so that a number that is one is known by its size, whatever its name.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.states import (
    ExecutorState,
    ExecutorStatus,
    IncidentState,
    IncidentStatus,
    OperatorStatus,
    StepState,
    WorkflowState,
)
from oban_powertools.wire import to_json
from tests.cli.test_cli_reference import COMMANDS, options
from tests.support.by_hand import Hand, chain, step
from tests.support.command import powertools
from tests.support.troubles import TROUBLES, project

LARGE = 7_000_000_000_000
SEQUENCES = """
SELECT setval(c.oid, %s, false) FROM pg_class c
WHERE c.relkind = 'S' AND (c.relnamespace = 'powertools'::regnamespace OR c.relname = 'oban_jobs_id_seq')
"""
WITHOUT_IDS = {("install",), ("upgrade",), ("uninstall",), ("roles",), ("status",), ("check",), ("webhooks", "test")}
"""They print SQL, versions, names and counts; ``webhooks test`` an HTTP status."""

WHY = ("--reason", "because of a test")


@pytest.fixture
async def large(hand: Hand) -> AsyncIterator[Hand]:
    """A database whose ids are large."""
    await hand.rows(SEQUENCES, LARGE)
    yield hand
    await hand.rows(SEQUENCES, 1)


def numbers(value: Any, path: str = "") -> Iterator[str]:
    """Where an id is a number."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, f"{path}[]")
    elif isinstance(value, int) and (value >= LARGE or path.endswith(("cursor", "next_before"))):
        yield path


STATES = {*StepState, *WorkflowState, *IncidentState, *ExecutorState}
WORDS = {*OperatorStatus, *IncidentStatus, *ExecutorStatus}
DELIVERIES = ".deliveries[]"
"""They are pending too, and are no step's."""

ROWS = {"before", "after", "args", "context", "result", "payload"}
"""What holds rows as they are stored, or what hosts stored."""


def wordless(value: Any, path: str = "") -> Iterator[str]:
    """Where a state of a step, workflow, incident or executor has no word beside it."""
    if isinstance(value, dict):
        if value.get("state") in STATES and value.get("status") not in WORDS:
            yield path
        for name, item in value.items():
            if name not in ROWS:
                yield from wordless(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from wordless(item, f"{path}[]")


def wordless_paths(answers: Any) -> set[str]:
    return {path for path in wordless(answers) if not path.endswith(DELIVERIES)}


class Asked:
    """Runs commands and keeps what they print as JSON, the first document of each."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self.answers: dict[tuple[str, ...], list[Any]] = {}

    async def ask(self, name: str, *given: str) -> Any:
        path = tuple(name.split())
        ended = await asyncio.to_thread(powertools, *path, *given, "--json", dsn=self._hand.dsn)
        assert ended.out, (name, given, ended.err)
        answer = json.JSONDecoder().raw_decode(ended.out)[0]
        self.answers.setdefault(path, []).append(answer)
        return answer


def mixed() -> Workflow:
    """fetch, approve (waits), and a nested workflow; it stores numbers that look like ids."""
    nested = Workflow("nested")
    nested.add("inner", step())
    workflow = Workflow("mixed", context={"customer_id": 7})
    workflow.add("fetch", step({"order_id": 8}))
    workflow.await_signal("approve", signal="approved", correlation_key="7")
    workflow.add_workflow("nested", nested)
    return workflow


async def look(hand: Hand, asked: Asked, workflow: str) -> None:
    await asked.ask("workflow list", "--limit", "1")
    await asked.ask("workflow show", workflow)
    await asked.ask("workflow show", workflow, "--step", "fetch")
    await asked.ask("workflow explain", workflow)
    await asked.ask("workflow explain", workflow, "nested")
    await asked.ask("workflow graph", workflow)
    await asked.ask("workflow export", workflow)
    await asked.ask("workflow history", workflow)
    await hand.workflows.signal("approved", "nobody", workflow_id=workflow)
    await asked.ask("signals list")
    await asked.ask("watch")
    await asked.ask("signals waits")
    await asked.ask("job list", "--limit", "1")
    await asked.ask("executors list")
    await asked.ask("doctor", "--deep", "--notes")
    await asked.ask("settings list")
    await asked.ask("queues list")
    await asked.ask("queues show", "default")
    await asked.ask("retention status")


async def change(hand: Hand, asked: Asked, workflow: str) -> None:
    await asked.ask("workflow hold", workflow, "fetch", "--for", "1h", *WHY)
    await asked.ask("workflow release", workflow, "fetch", *WHY)
    await asked.ask("signal", "approved", "--key", "7")
    await asked.ask("settings set", "incident_stuck_after", "2h", *WHY)
    await hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'n', 'default')")
    await asked.ask("queue pause", "default", *WHY)
    await asked.ask("queue resume", "default", *WHY)
    await asked.ask("queue scale", "default", "3", *WHY)
    await asked.ask("retention prune", "--yes", *WHY)
    preview = (await asked.ask("repair preview", "step_hold", f"{workflow}/fetch", "--for", "1h"))["preview"]
    await asked.ask("repair show", preview["id"])
    await asked.ask("repair list")
    await asked.ask("repair approve", preview["id"], "--actor", "grace", *WHY)
    await asked.ask("repair execute", preview["preview_token"], *WHY)
    bulk = (await asked.ask("bulk preview", "workflow_cancel", "--id", workflow))["bulk"]
    await asked.ask("bulk execute", bulk["preview_token"], *WHY)
    await asked.ask("bulk status", bulk["id"])


async def trouble(hand: Hand, asked: Asked) -> None:
    failed = await hand.insert(chain(2))
    job = (await hand.job(failed, "s0")).id
    await hand.run(failed, {"s0": ValueError("no")})
    await TROUBLES["executor_missing"].happen(hand)
    [incident, *_] = (await project(hand, **TROUBLES["executor_missing"].settings)).values()
    await asked.ask("job explain", str(job))
    await asked.ask("job reveal", str(job), "--what", "args", *WHY)
    await asked.ask("workflow reveal", str(failed), "s0", "--what", "args", *WHY)
    await asked.ask("incidents list")
    await asked.ask("incidents ack", str(incident.id))
    await asked.ask("incidents assign", str(incident.id), "ada")
    await asked.ask("incidents note", str(incident.id), "seen")
    await asked.ask("incidents mute", str(incident.id), "--for", "1h", *WHY)
    await asked.ask("incidents show", str(incident.id))
    await asked.ask("workflow recover", str(failed), *WHY)
    await asked.ask("workflow cancel", str(failed), "--yes", *WHY)
    await asked.ask("workflow commands", str(failed))
    await asked.ask("events tail", "--workflow", str(failed), "--since", "0", "--until-finished")


async def send(hand: Hand, asked: Asked, endpoint: str) -> None:
    await hand.powertools.webhooks.dispatch()
    await asked.ask("webhooks list")
    await asked.ask("webhooks deliveries", endpoint, "--limit", "1")
    await asked.ask("webhooks replay", endpoint, *WHY)
    await asked.ask("webhooks rotate", endpoint, *WHY)
    await asked.ask("webhooks disable", endpoint, *WHY)
    await asked.ask("webhooks enable", endpoint, *WHY)
    await asked.ask("webhooks remove", endpoint, *WHY)


@pytest.mark.timeout(300)  # half a hundred processes
async def test_every_id_in_what_every_command_prints_as_json_is_text(large: Hand) -> None:
    asked = Asked(large)
    endpoint = (await asked.ask("webhooks add", "https://example.com/", *WHY))["webhook"]["id"]
    workflow = str(await large.insert(mixed()))

    await look(large, asked, workflow)
    await change(large, asked, workflow)
    await trouble(large, asked)
    await send(large, asked, endpoint)
    records = (await asked.ask("audit list", "--limit", "5"))["records"]
    await asked.ask("audit show", records[0]["id"])
    await asked.ask("audit verify")

    with_json = {path for path, command in COMMANDS.items() if "--json" in options(command)}
    assert with_json - WITHOUT_IDS == set(asked.answers)
    assert {path: found for path, answer in asked.answers.items() if (found := [*numbers(answer)])} == {}
    assert {path: found for path, answer in asked.answers.items() if (found := wordless_paths(answer))} == {}
    stored = asked.answers["workflow", "show"]
    assert (stored[0]["workflow"]["context"], stored[1]["step"]["args"]) == ({"customer_id": 7}, {"order_id": 8})


@pytest.mark.parametrize("name", TROUBLES)
async def test_every_id_in_the_evidence_of_an_incident_is_text(large: Hand, name: str) -> None:
    await TROUBLES[name].happen(large)
    ids = [incident.id for incident in (await project(large, **TROUBLES[name].settings)).values()]
    incidents = [await large.powertools.lifeline.get_incident(incident_id) for incident_id in ids]

    await TROUBLES[name].end(large)

    assert incidents
    assert [*numbers(json.loads(json.dumps([incident.to_dict() for incident in incidents])))] == []


def test_ids_are_known_by_their_names_at_any_depth_and_what_hosts_stored_stays() -> None:
    row = {"id": 1, "job_id": 2, "child_ids": [3, 4], "after_cursor": 5, "next_before": 6, "count": 7, "paid": 8}

    written = to_json({"rows": [{"in": row}], "args": row})

    text = {"id": "1", "job_id": "2", "child_ids": ["3", "4"], "after_cursor": "5", "next_before": "6"}
    assert written == {"rows": [{"in": {**row, **text}}], "args": row}
