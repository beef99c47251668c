"""Every public call refuses what is no argument of it, before it does anything: nothing is not everything.

A call or an argument that nobody has described in ``KINDS`` fails ``test_every_argument_of_every_call_is_described``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_powertools import AuditFilter, PowertoolsError, Workflow
from oban_powertools.errors import InvalidArgumentError
from oban_powertools.sync import open_sync_calls
from tests.support.by_hand import Hand, chain, everybody_may, step

NOT_IDS = (
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1.0",
    "1e3",
    "1_000",
    "abc",
    "1/a",
    "²",
    "٣",
    "1\0",
    "\ud800",
    0,
    -1,
    2**63,
    2**70,
    -(2**70),
    str(2**63),
    "9" * 30,
    True,
    1.0,
    [],
    {},
    b"1",
)
NOT_CURSORS = tuple(found for found in NOT_IDS if found != 0)
NOT_SPANS = ("30s", "30", "", True, [], {}, float("nan"), float("inf"), 1e300)
NOT_LISTS = ("", "abc", b"abc", 7, 1.5, True, {"a": 1})
NOT_NAMES = ("", "  ", 7, 0, True, [], {}, b"a")
NOT_TOPICS = (*NOT_NAMES, "job:all", "workflow", "workflow:01", "incident:abc", "audit:1")
NOT_KEYS = (*NOT_NAMES, "a\0b", "\ud800")
NOT_PLACES = (*NOT_KEYS, "1", "9.9.9.9", "1.-1")
NOT_COUNTS = (0, -1, True, "5", 1.5, 2**40, [])
NOT_FLAGS = ("", "false", 0, 1, [])
NOT_TEXTS = (0, 7, True, [], {})
NOT_WORDS = ("", "stuck", 7, True, [])
NOT_ACTORS = ("", "  ", 0, 7, [], {}, {"id": ""}, {"id": 7}, {"id": "ada", "type": "system"}, {"id": "a", "type": ""})
NOT_REASONS = ("", "  ", 0, 7, [])
NOT_INSTANTS = ("2031-01-01", 0, 7, datetime(2199, 1, 1), [])  # noqa: DTZ001 - naive on purpose
NOT_TARGETS = ("", "abc", "1/", "/", "1/2/3", 0.5, True, "\ud800", "1\0", [], None)
NOT_WORKFLOWS = ("", 7, [], {}, Workflow, [chain(1)])
ANYTHING = ()
"""Nothing to refuse by its kind: JSON, a connection, a yes or no that every value answers."""

WHO = {"actor": "ada", "reason": "because of a test"}
OF_AN_OPERATOR: dict[str, tuple[Any, ...]] = {"actor": NOT_ACTORS, "reason": NOT_REASONS, "source": NOT_WORDS}
OF_A_COMMAND = {"workflow_id": NOT_IDS, **OF_AN_OPERATOR, "conn": ANYTHING}
OF_INCIDENTS = {"incident": (*NOT_KEYS, -1, 2**63, 1.0), "actor": NOT_ACTORS, "source": NOT_WORDS}
OF_SIGNALS = {
    "signal": NOT_KEYS,
    "correlation_key": NOT_KEYS,
    "workflow_id": NOT_IDS,
    "before": NOT_IDS,
    "limit": NOT_COUNTS,
}
OF_AN_ENDPOINT = {"endpoint_id": NOT_IDS, **OF_AN_OPERATOR}
OF_WEBHOOKS = {
    "url": NOT_NAMES,
    "description": NOT_TEXTS,
    "types": (*NOT_LISTS, [], (), ["nothing"], [7]),
    "workflow_name": NOT_NAMES,
    "allow_private": NOT_FLAGS,
    "console_url": (*NOT_NAMES, "console", "ftp://a/"),
}
SECRETS = {"secret": ("", 7, []), "secret_from_env": NOT_NAMES}

KINDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "workflows.insert": {"workflow": NOT_WORKFLOWS, "conn": ANYTHING},
    "workflows.insert_many": {
        "workflows": (*NOT_LISTS, [7], [chain(1), step()]),
        "atomic": NOT_FLAGS,
        "conn": ANYTHING,
    },
    "workflows.wait": {"workflow_id": NOT_IDS, "timeout": NOT_SPANS},
    "workflows.get": {"workflow_id": NOT_IDS},
    "workflows.find": {"workflow_id": NOT_IDS},
    "workflows.list": {
        "state": NOT_WORDS,
        "status": NOT_WORDS,
        **dict.fromkeys(("idempotency_key", "label", "worker", "step", "error"), NOT_KEYS),
        **dict.fromkeys(("inserted_from", "inserted_to", "finished_from", "finished_to"), NOT_INSTANTS),
        "context": ("", 7, [], {}, {"a": object()}),
        "nested": NOT_FLAGS,
        "name": NOT_KEYS,
        "tag": NOT_KEYS,
        "before": NOT_IDS,
        "limit": NOT_COUNTS,
    },
    "workflows.steps": {"workflow_id": NOT_IDS},
    "workflows.list_steps": {
        "workflow_id": NOT_IDS,
        "step": NOT_KEYS,
        "state": NOT_WORDS,
        "status": NOT_WORDS,
        "failed_first": NOT_FLAGS,
        "after": NOT_PLACES,
        "limit": NOT_COUNTS,
        "payloads": NOT_FLAGS,
    },
    "workflows.outline": {"workflow_id": NOT_IDS},
    "workflows.spells": {"workflow_id": NOT_IDS, "steps": (*NOT_LISTS, [""], [7], ["a\0b"])},
    "workflows.list_signals": {
        **OF_SIGNALS,
        **dict.fromkeys(("inserted_from", "inserted_to"), NOT_INSTANTS),
    },
    "workflows.list_waits": {
        **OF_SIGNALS,
        **dict.fromkeys(("registered_from", "registered_to"), NOT_INSTANTS),
    },
    "workflows.history": {"workflow_id": NOT_IDS, "step": NOT_KEYS, "after": NOT_PLACES, "limit": NOT_COUNTS},
    "workflows.results": {"workflow_id": NOT_IDS},
    "workflows.callbacks": {"workflow_id": NOT_IDS},
    "workflows.to_mermaid": {"workflow_id": NOT_IDS},
    "workflows.export": {"workflow_id": NOT_IDS},
    "workflows.to_dot": {"workflow_id": NOT_IDS},
    "workflows.commands": {"workflow_id": NOT_IDS, "limit": NOT_COUNTS},
    "workflows.complete_step": {
        **OF_A_COMMAND,
        "step": NOT_NAMES,
        "status": NOT_WORDS,
        "payload": ANYTHING,
        "reason": NOT_TEXTS,
    },
    "workflows.signal": {
        "signal": NOT_NAMES[2:],
        "correlation_key": NOT_NAMES[2:],
        "dedupe_key": NOT_NAMES,
        "workflow_id": NOT_IDS,
        "payload": ANYTHING,
        "conn": ANYTHING,
        "only_begun": NOT_FLAGS,
        "expires_in": (*NOT_SPANS, timedelta(0), -timedelta(hours=1), timedelta.max),
    },
    "workflows.request_cancel": OF_A_COMMAND,
    "workflows.recover": {**OF_A_COMMAND, "step": NOT_NAMES, "action": NOT_WORDS, "payload": ANYTHING},
    "workflows.hold": {
        **OF_A_COMMAND,
        "step": NOT_NAMES,
        "hold_for": (*NOT_SPANS, timedelta(0), -timedelta(hours=1), timedelta.max, None),
    },
    "workflows.release": {**OF_A_COMMAND, "step": NOT_NAMES},
    "workflows.reveal": {**OF_AN_OPERATOR, "workflow_id": NOT_IDS, "step": NOT_NAMES, "what": (*NOT_WORDS, "meta")},
    "explain.workflow_step": {"workflow_id": NOT_IDS, "step": (*NOT_KEYS, None), "check_import": ANYTHING},
    "explain.workflow": {"workflow_id": NOT_IDS},
    "explain.job": {"job_id": NOT_IDS, "check_import": ANYTHING},
    "events.topic_all": {},
    "events.topic_workflow": {"workflow_id": NOT_IDS},
    "events.subscribe_all": {"since": NOT_CURSORS},
    "events.subscribe_workflow": {"workflow_id": NOT_IDS, "since": NOT_CURSORS},
    "events.subscribe_incidents": {"incident_id": NOT_IDS, "since": NOT_CURSORS},
    "events.subscribe_executors": {"executor_id": NOT_NAMES, "since": NOT_CURSORS},
    "events.subscribe_audit": {"since": NOT_CURSORS},
    "events.subscribe": {"topic": NOT_TOPICS, "since": NOT_CURSORS},
    "events.read_topic": {
        "topic": NOT_TOPICS,
        "since": (*NOT_CURSORS, None),
        "limit": (*NOT_COUNTS, 10_001),
    },
    "events.head": {},
    "events.read": {
        "since": (*NOT_CURSORS, None),
        "workflow_id": NOT_IDS,
        "limit": (*NOT_COUNTS, 10_001),
    },
    "events.publish": {
        **OF_A_COMMAND,
        "step": NOT_NAMES,
        "change": NOT_WORDS,
        "attempt": (*NOT_COUNTS, 2**31),
        "error": NOT_TEXTS,
        "reason": NOT_TEXTS,
    },
    "events.stop": {},
    "audit.list": {
        "actor": NOT_KEYS,
        "action": NOT_KEYS,
        "target_type": NOT_KEYS,
        "target_id": NOT_KEYS,
        **dict.fromkeys(("outcome", "actor_type", "surface"), NOT_WORDS),
        **dict.fromkeys(("since", "until"), NOT_INSTANTS),
        "before": NOT_IDS,
        "limit": NOT_COUNTS,
    },
    "audit.get": {"record_id": NOT_IDS},
    "audit.check": {"record_id": NOT_IDS},
    "audit.verify": {"head": NOT_KEYS},
    "audit.export": {"actor": NOT_ACTORS, "chosen": ({}, "", 7, []), "source": NOT_WORDS},
    "metrics.read": {"only": (*NOT_LISTS, ["none"], [7])},
    "metrics.count": {},
    "lifeline.refresh_heartbeats": {
        "heartbeats": (*NOT_LISTS, [7], [{}], [{"executor_id": "", "node": "n", "producer_scope": "q"}])
    },
    "lifeline.list_executor_health": {
        "status": NOT_WORDS,
        "worst_nodes": NOT_COUNTS,
        "after": (*NOT_TEXTS, "", "p1"),
        "limit": NOT_COUNTS,
    },
    "lifeline.count_executors": {},
    "lifeline.retention_status": {},
    "lifeline.run_archive_prune": {**OF_AN_OPERATOR, "dry_run": NOT_FLAGS},
    "lifeline.preview_repair": {
        "actor": NOT_ACTORS,
        "source": NOT_WORDS,
        "action": NOT_WORDS,
        "target_type": NOT_WORDS,
        "target_id": NOT_TARGETS,
        "incident_fingerprint": NOT_NAMES,
        "payload": (7,),
        "hold_for": (*NOT_SPANS, timedelta.max),
        "to": (*NOT_TEXTS, ""),
    },
    "lifeline.get_preview": {"preview_id": NOT_IDS, "token_for": NOT_ACTORS},
    "lifeline.check_preview": {"preview_id": NOT_IDS},
    "lifeline.find_execution": {"preview_id": NOT_IDS},
    "lifeline.find_execution_refusal": {"preview_id": NOT_IDS, "asking": NOT_ACTORS},
    "lifeline.find_preview_of": {"preview_token": (*NOT_NAMES, None)},
    "lifeline.list_upcoming": {"concerning": (*NOT_NAMES, "1", 1), "limit": NOT_COUNTS},
    "lifeline.list_previews": {
        "status": NOT_WORDS,
        **dict.fromkeys(("actor", "action", "target_type", "target_id"), NOT_KEYS),
        "before": NOT_IDS,
        "limit": NOT_COUNTS,
    },
    "lifeline.find_approval": {"preview_id": NOT_IDS},
    "lifeline.approve_repair": {**OF_AN_OPERATOR, "preview_id": NOT_IDS},
    "lifeline.execute_repair": {**OF_AN_OPERATOR, "preview_token": (*NOT_NAMES, None)},
    "lifeline.preview_bulk": {
        "incident_fingerprint": NOT_NAMES,
        "actor": NOT_ACTORS,
        "source": NOT_WORDS,
        "action": NOT_WORDS,
        "hold_for": NOT_SPANS,
        "filter": (
            {},
            None,
            "",
            [],
            7,
            {"ids": None},
            {"nothing": 1},
            {7: 8},
            *({"ids": ids} for ids in NOT_LISTS),
            {"ids": []},
            {"ids": [], "tag": "t"},
            {"ids": (i for i in ()), "state": "running"},
            {"ids": ["x"]},
            *({"workflow_name": name} for name in NOT_KEYS),
            *({"state": word} for word in NOT_WORDS),
            *({"tag": "t", "workflow_name": name} for name in NOT_KEYS),
        ),
    },
    "lifeline.execute_bulk": {**OF_AN_OPERATOR, "preview_token": (*NOT_NAMES, None), "confirm_total": ANYTHING},
    "lifeline.bulk_status": {"bulk_id": NOT_IDS, "token_for": NOT_ACTORS},
    "lifeline.project_incidents": {},
    "lifeline.incidents_seen_ago": {},
    "lifeline.count_incidents": {},
    "lifeline.list_incidents": {
        "state": NOT_WORDS,
        "status": NOT_WORDS,
        "incident_class": NOT_WORDS,
        "but_not": (*NOT_LISTS, ["nothing"], [7]),
        "text": NOT_KEYS,
        "opened_from": NOT_INSTANTS,
        "before": NOT_IDS,
        "limit": NOT_COUNTS,
    },
    "lifeline.get_incident": {"incident": OF_INCIDENTS["incident"]},
    "lifeline.acknowledge_incident": OF_INCIDENTS,
    "lifeline.assign_incident": {**OF_INCIDENTS, "assignee": NOT_NAMES},
    "lifeline.note_incident": {**OF_INCIDENTS, "note": (*NOT_NAMES, None)},
    "lifeline.mute_incident": {**OF_INCIDENTS, "until": (*NOT_INSTANTS, None), "reason": NOT_REASONS},
    "queues.list": {},
    "jobs.list": {
        **dict.fromkeys(("state", "status"), NOT_WORDS),
        **dict.fromkeys(("queue", "worker", "tag", "error"), NOT_KEYS),
        **dict.fromkeys(("inserted_from", "inserted_to"), NOT_INSTANTS),
        "before": NOT_IDS,
        "limit": NOT_COUNTS,
    },
    "jobs.get": {"job_id": NOT_IDS},
    "jobs.reveal": {**OF_AN_OPERATOR, "job_id": NOT_IDS, "what": (*NOT_WORDS, "result", "context")},
    "jobs.count": {"queue": NOT_KEYS},
    "queues.get": {"queue": NOT_KEYS},
    "queues.pause": {**OF_AN_OPERATOR, "queue": NOT_KEYS, "node": NOT_KEYS},
    "queues.resume": {**OF_AN_OPERATOR, "queue": NOT_KEYS, "node": NOT_KEYS},
    "queues.scale": {**OF_AN_OPERATOR, "queue": NOT_KEYS, "node": NOT_KEYS, "limit": NOT_COUNTS},
    "shared_settings.list_settings": {},
    "shared_settings.change": {**OF_AN_OPERATOR, "name": NOT_WORDS, "value": (*NOT_SPANS, timedelta.max, None)},
    "webhooks.add": {**OF_AN_OPERATOR, **OF_WEBHOOKS, **SECRETS, "format": NOT_WORDS, "since": NOT_CURSORS},
    "webhooks.list": {},
    "webhooks.get": {"endpoint_id": NOT_IDS},
    "webhooks.outcomes": {"hours": (*NOT_COUNTS, 73)},
    "webhooks.update": {**OF_AN_ENDPOINT, **OF_WEBHOOKS, "any_workflow": NOT_FLAGS},
    "webhooks.rotate_secret": {
        **OF_AN_ENDPOINT,
        **SECRETS,
        "keep_old_for": (*NOT_SPANS, -timedelta(hours=1), timedelta.max, None),
    },
    "webhooks.disable": OF_AN_ENDPOINT,
    "webhooks.enable": OF_AN_ENDPOINT,
    "webhooks.remove": OF_AN_ENDPOINT,
    "webhooks.test": {"endpoint_id": NOT_IDS},
    "webhooks.deliveries": {
        "endpoint_id": NOT_IDS,
        "state": NOT_WORDS,
        "before": NOT_CURSORS,
        "limit": (*NOT_COUNTS, 1001),
    },
    "webhooks.replay": {**OF_AN_ENDPOINT, "cursor": NOT_CURSORS},
    "webhooks.dispatch": {},
    "webhooks.sweep": {},
}
"""Call -> argument -> values that are no such argument."""

GIVEN: Mapping[str, Any] = {
    **WHO,
    "workflow_id": 1,
    "job_id": 1,
    "step": "s0",
    "signal": "s",
    "correlation_key": "k",
    "since": 0,
    "hold_for": timedelta(hours=1),
    "record_id": 1,
    "action": "workflow_cancel",
    "target_type": "workflow",
    "target_id": "1",
    "preview_id": 1,
    "asking": "ada",
    "preview_token": "t",
    "filter": {"ids": ["1"]},
    "bulk_id": 1,
    "incident": 1,
    "assignee": "ada",
    "note": "seen",
    "until": datetime(2199, 1, 1, tzinfo=UTC),
    "url": "https://example.com/",
    "endpoint_id": 1,
    "change": "started",
    "heartbeats": [],
    "topic": "audit:all",
    "queue": "default",
    "limit": 1,
    "workflow": None,
    "workflows": [],
}
"""What the other arguments of a call are, where it needs them."""

GIVEN_HERE: Mapping[str, Mapping[str, Any]] = {
    "workflows.recover": {"action": "retry"},
    "workflows.reveal": {"what": "context"},
    "jobs.reveal": {"what": "args"},
    "webhooks.add": {"since": None},
    "shared_settings.change": {"name": "incident_stuck_after", "value": timedelta(minutes=1)},
}
OF_ONE_ACTION = {"hold_for": "workflow_hold"}


def calls(powertools: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for room in (
        "workflows",
        "explain",
        "events",
        "audit",
        "metrics",
        "lifeline",
        "shared_settings",
        "jobs",
        "queues",
        "webhooks",
    ):
        for name, method in inspect.getmembers(getattr(powertools, room), inspect.ismethod):
            if not name.startswith("_"):
                yield f"{room}.{name}", method


async def call(method: Callable[..., Any], **arguments: Any) -> None:
    answer = method(**arguments)
    if hasattr(answer, "__aenter__"):
        async with answer:
            return
    elif inspect.isasyncgen(answer):
        async for _ in answer:
            return
    elif inspect.isawaitable(answer):
        await answer


def arguments_of(name: str, method: Callable[..., Any], argument: str) -> dict[str, Any]:
    needed = [p.name for p in inspect.signature(method).parameters.values() if p.default is inspect.Parameter.empty]
    given = {**GIVEN, **GIVEN_HERE.get(name, {})}
    found = {key: given[key] for key in needed if key != argument}
    if argument == "actor":
        found["reason"] = WHO["reason"] if "reason" in KINDS[name] else None
        found = {key: value for key, value in found.items() if value is not None}
    if "action" in found and argument in OF_ONE_ACTION:
        found["action"] = OF_ONE_ACTION[argument]
    return found


async def test_every_argument_of_every_call_is_described(hand: Hand) -> None:
    described = {name: set(kinds) for name, kinds in KINDS.items()}

    assert {name: set(inspect.signature(method).parameters) for name, method in calls(hand.powertools)} == described


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, kinds in KINDS.items() for argument in kinds if kinds[argument]]
)
async def test_what_is_no_argument_is_refused_with_an_error_of_ours(hand: Hand, name: str, argument: str) -> None:
    await hand.insert(chain(1))
    method = dict(calls(hand.powertools))[name]
    raised: dict[str, BaseException | None] = {}

    for value in KINDS[name][argument]:
        try:
            await call(method, **{**arguments_of(name, method, argument), argument: value})
            raised[repr(value)] = None
        except Exception as error:  # noqa: BLE001 - which one is the question
            raised[repr(value)] = error

    assert {shown: error for shown, error in raised.items() if not isinstance(error, PowertoolsError)} == {}
    assert await hand.one("SELECT count(*) FROM powertools.workflows WHERE state = 'running'") == 1
    assert await hand.one("SELECT count(*) FROM powertools.webhook_endpoints") == 0
    assert await hand.one("SELECT count(*) FROM powertools.bulks") == 0


def test_an_audit_filter_says_something_or_nothing() -> None:
    for name, kinds in KINDS["audit.list"].items():
        for value in kinds if name not in ("before", "limit") else ():
            with pytest.raises(InvalidArgumentError, match=name):
                AuditFilter(**{name: value})


TAKES_AN_ID = [
    (name, argument)
    for name, kinds in KINDS.items()
    for argument, refused in kinds.items()
    if refused in (NOT_IDS, NOT_CURSORS, OF_INCIDENTS["incident"])
]

LOGS = [("events.read", "since"), ("events.read_topic", "since")]
"""Their cursor is needed, so None is refused too."""


async def outcome(method: Callable[..., Any], **arguments: Any) -> tuple[str, str | None]:
    try:
        await call(method, **arguments)
    except PowertoolsError as error:
        return f"{type(error)} {error}", getattr(error, "argument", None)
    return "done", None


TAKES_A_SPAN = [
    (name, argument)
    for name, kinds in KINDS.items()
    for argument, refused in kinds.items()
    if refused[: len(NOT_SPANS)] == NOT_SPANS
]


def test_what_takes_a_duration_says_so_by_its_name() -> None:
    names = ("timeout", "expires_in", "_for", "value")
    by_name = {(call, argument) for call, kinds in KINDS.items() for argument in kinds if argument.endswith(names)}

    assert by_name - {("lifeline.get_preview", "token_for"), ("lifeline.bulk_status", "token_for")} == {*TAKES_A_SPAN}


@pytest.mark.parametrize(("name", "argument"), TAKES_A_SPAN)
async def test_every_call_that_takes_a_duration_takes_its_seconds(hand: Hand, name: str, argument: str) -> None:
    others = arguments_of(name, dict(calls(hand.powertools))[name], argument)
    with open_sync_calls(hand.dsn, authorize=everybody_may) as blocking:
        for room in (hand.powertools, blocking):
            method = dict(calls(room))[name]

            span = await outcome(method, **{**others, argument: timedelta(hours=1)})
            seconds = await outcome(method, **{**others, argument: 3600})
            fraction = await outcome(method, **{**others, argument: 3600.5})

            assert (span, span) == (seconds, fraction)
            assert span[1] != argument


def test_what_takes_an_id_says_so_by_its_name() -> None:
    names = ("_id", "incident", "since", "before", "cursor")
    by_name = {(call, argument) for call, kinds in KINDS.items() for argument in kinds if argument.endswith(names)}

    ids = by_name - {("audit.list", "target_id"), ("audit.list", "since"), ("lifeline.preview_repair", "target_id")}
    ids -= {("lifeline.list_previews", "target_id")}  # of whatever type
    ids -= {("events.subscribe_executors", "executor_id")}  # text of the host's, as Oban's uuid of a producer
    assert {(call, argument) for call, argument in ids if KINDS[call][argument] != NOT_INSTANTS} == {
        *TAKES_AN_ID,
        *LOGS,
    }


@pytest.mark.parametrize(("name", "argument"), [*TAKES_AN_ID, *LOGS])
async def test_every_call_that_takes_an_id_takes_its_number_and_its_text(hand: Hand, name: str, argument: str) -> None:
    method = dict(calls(hand.powertools))[name]
    others = arguments_of(name, method, argument)

    number = await outcome(method, **{**others, argument: 4100})
    text = await outcome(method, **{**others, argument: "4100"})

    assert number == text
    assert number[1] != argument
