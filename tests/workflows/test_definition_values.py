"""Values in definitions: what cannot be stored as it is has a fault with its place."""

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from oban_powertools import Workflow
from tests.support.by_hand import step
from tests.support.definitions import LIMIT, codes, faults, small


@dataclasses.dataclass
class Customer:
    id: int


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime is not JSON-safe; pass value.isoformat()"),
        (datetime(2026, 1, 1, tzinfo=UTC).date(), "date is not JSON-safe; pass value.isoformat()"),
        (timedelta(1), "timedelta is not JSON-safe; pass value.total_seconds()"),
        (Decimal("1.5"), "Decimal is not JSON-safe; pass str(value)"),
        (UUID(int=7), "UUID is not JSON-safe; pass str(value)"),
        (Customer(1), "Customer is not JSON-safe; pass dataclasses.asdict(value)"),
        ((1, 2), "tuple is not JSON-safe; pass list(value)"),
        ({1, 2}, "set is not JSON-safe; pass sorted(value)"),
        (b"raw", "bytes is not JSON-safe; pass base64 text"),
        (object(), "object is not JSON-safe; pass text, numbers"),
        ("a\0b", "NUL character"),
        ("\ud800", "lone surrogate"),
        (math.nan, "nan is not a JSON number"),
        (-math.inf, "-inf is not a JSON number"),
        (2**63, "more than 64 bits"),
        (-(2**64), "more than 64 bits"),
        ({7: "x"}, "key 7 is int; JSON keys are text"),
        ({"a\0": "x"}, "NUL character"),
    ],
)
def test_a_value_that_is_not_json_safe_is_refused_with_path_and_hint(value: Any, said: str) -> None:
    workflow = small(args={"order": {"lines": ["fine", value]}})

    [fault] = faults(workflow)

    assert (fault.code, fault.step, fault.path) == ("non_serializable", "a", "args.order.lines[1]")
    assert said in fault.message


def test_context_meta_tags_and_the_last_job_are_checked_too() -> None:
    workflow = Workflow("thorough", context={"at": Decimal(1)}, tags=["\0"], on_finished=step({"x": {1}}))
    workflow.add("a", step(meta={"y": b""}, tags=["t\0"], queue="\0q"))

    assert codes(workflow) == [
        ("non_serializable", None, "context.at"),
        ("non_serializable", None, "tags[0]"),
        ("non_serializable", None, "on_finished.args.x"),
        ("non_serializable", "a", "meta.y"),
        ("non_serializable", "a", "job.queue"),
        ("non_serializable", "a", "job.tags[0]"),
    ]


def test_names_with_a_lone_surrogate_are_refused_also_where_another_step_refers_to_them() -> None:
    workflow = Workflow("ok")
    a = workflow.add("a\ud800", step())
    workflow.add("b", step({"r": a.result}), deps=[a])

    assert codes(workflow) == [("non_serializable", "a\ud800", "name")]


def test_a_reference_has_no_place_outside_args() -> None:
    workflow = Workflow("misplaced")
    a = workflow.add("a", step())
    workflow.add("b", step(meta={"x": a.result}))
    workflow.on_finished = step({"x": a.result})

    assert codes(workflow) == [("non_serializable", None, "on_finished.args.x"), ("non_serializable", "b", "meta.x")]


def test_payloads_above_the_limit_are_refused_with_their_size() -> None:
    workflow = Workflow("fat", context={"x": "c" * 9000}, on_finished=step({"x": "f" * LIMIT}))
    workflow.add("a", step({"x": "a" * LIMIT}, meta={"x": "m" * LIMIT}))
    workflow.add("b", step({"x": "b" * LIMIT, "y": Workflow.result("a")}))

    found = faults(workflow)

    assert [(f.code, f.step, f.path) for f in found] == [
        ("payload_too_large", None, "context"),
        ("payload_too_large", None, "on_finished.args"),
        ("payload_too_large", "a", "meta"),
        ("payload_too_large", "a", "args"),
        ("payload_too_large", "b", "args"),
    ]
    assert found[0].message.startswith("9008 bytes of JSON, at most 8192 are allowed")


@pytest.mark.parametrize("key", ["workflow_id", "position", "return", "outcome", "failed_steps", "failures_handled"])
def test_keys_of_meta_that_are_ours_are_refused(key: str) -> None:
    workflow = Workflow("taken")
    workflow.add("a", step(meta={key: 1}))

    assert codes(workflow) == [("reserved_meta", "a", "meta")]


def test_what_is_no_job_is_refused_with_a_hint() -> None:
    class Forgotten:
        @classmethod
        def new(cls) -> None: ...

    workflow = Workflow("jobless", on_finished=Forgotten)  # pyright: ignore[reportArgumentType]
    workflow.add("a", Forgotten)  # pyright: ignore[reportArgumentType, reportCallIssue]

    found = faults(workflow)

    assert [(f.code, f.step, f.path) for f in found] == [("not_a_job", None, "on_finished"), ("not_a_job", "a", "job")]
    assert "call .new(...) on the worker" in found[0].message


def test_more_attempts_than_oban_can_store_are_refused() -> None:
    workflow = Workflow("stubborn")
    workflow.add("a", step(max_attempts=40_000))

    assert codes(workflow) == [("invalid_max_attempts", "a", "job")]


def test_a_queue_too_long_to_be_notified_or_indexed_is_refused() -> None:
    workflow = Workflow("long")
    workflow.add("a", step(queue="q" * 201))

    assert codes(workflow) == [("name_too_long", "a", "job.queue")]


def test_durations_beyond_the_calendar_are_refused() -> None:
    workflow = small(expires_in=timedelta.max)
    workflow.add("b", step(), delay=timedelta.max)
    workflow.add("c", step(), delay=timedelta(days=36_525))

    assert codes(workflow) == [("invalid_expiry", None, None), ("invalid_delay", "b", None)]


def test_options_out_of_range_are_refused() -> None:
    workflow = Workflow("odd", expires_in=timedelta(0))
    options: Mapping[str, Any] = {"effects": "sometimes", "on_failure": "explode", "delay": timedelta(seconds=-1)}
    workflow.add("a", step())
    workflow.add("b", step(), deps="a", **options)

    assert codes(workflow) == [
        ("invalid_expiry", None, None),
        ("unknown_policy", "b", "deps"),
        ("unknown_effects", "b", None),
        ("invalid_delay", "b", None),
    ]
