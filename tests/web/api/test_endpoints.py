"""The table of endpoints: its document is up to date, its examples are valid, and no act is without an endpoint."""

import inspect
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from oban_powertools import Calls
from oban_powertools.acts import REPAIRS, Action
from oban_powertools.web.api import document
from oban_powertools.web.api.endpoint import Endpoint
from oban_powertools.web.api.endpoints import ENDPOINTS, ROOT
from oban_powertools.web.api.schemas import Schemas
from oban_powertools.wire import AsDict
from tests.operators.test_operator_calls import READ
from tests.project.test_records_as_json import WRITTEN
from tests.support.command import powertools
from tests.support.operations import DOCUMENT, PAGE, as_text, written

ACTS = [row for row in ENDPOINTS if row.method != "GET"]
LEFT_OUT = {
    "workflows": {
        "export",  # a file for a test, by the command
        "find",  # get
        "results",  # the steps have them
        "steps",  # list_steps, in pages
        "to_dot",  # the graph, as JSON and SVG
        "to_mermaid",
        "wait",  # the stream of events
    },
    "events": {
        "read",  # read_topic
        "subscribe",  # the stream
        "subscribe_all",
        "subscribe_audit",
        "subscribe_executors",
        "subscribe_incidents",
        "subscribe_workflow",
        "topic_all",  # names of topics
        "topic_workflow",
    },
    "lifeline": {
        "find_execution",  # what a repeated execution answers
        "find_approval",  # in the audit
    },
}
"""Calls that read and have no endpoint, each beside what has it."""

WHO = {"self", "conn", "actor", "asking", "source", "token_for"}
NOT_TAKEN = {
    ("list_steps", "step"),  # get_step
    *(("get_step", name) for name in ("state", "status", "failed_first", "after", "limit", "payloads")),
    ("list_steps", "payloads"),  # always read, and shown as the display policy has them
    ("list_spells", "steps"),  # one step
    ("list_incidents", "but_not"),  # class
    ("export_audit", "chosen"),  # its fields
    ("explain_step", "check_import"),  # imports into the process of the console
    ("explain_job", "check_import"),
    ("list_upcoming", "concerning"),  # of an incident's page
    ("read_metrics", "only"),
    ("list_executors", "worst_nodes"),  # of the overview
}
"""Operation, argument of its call that no client passes."""

BESIDE = {"/api/v1/openapi.json", "/healthz", "/readyz"}


def _name(row: Endpoint) -> str:
    return row.name


def test_the_committed_document_is_what_the_endpoints_make() -> None:
    assert DOCUMENT.read_text() == as_text(), "python -m tests.support.operations"


def test_the_page_lists_every_operation() -> None:
    assert PAGE.read_text() == written(PAGE.read_text()), "python -m tests.support.operations"


def test_the_command_prints_the_document() -> None:
    assert powertools("openapi").out == as_text()


def test_the_document_has_every_route_and_no_other() -> None:
    routes = {(f"{ROOT}{row.path}", row.method.lower()) for row in ENDPOINTS} | {(path, "get") for path in BESIDE}

    assert {(path, method) for path, methods in document()["paths"].items() for method in methods} == routes


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [row.name for row in ENDPOINTS]

    assert len(names) == len({*names})


@pytest.mark.parametrize("row", ENDPOINTS, ids=_name)
def test_a_path_names_its_inputs_in_their_order(row: Endpoint) -> None:
    assert re.findall(r"\{(\w+)\}", row.path) == [one.name for one in row.path_inputs]


@pytest.mark.parametrize("row", ENDPOINTS, ids=_name)
def test_an_operation_that_changes_something_names_its_act_its_rate_and_what_a_repetition_does(row: Endpoint) -> None:
    said = [row.act is not None, row.rate is not None, bool(row.repeat)]

    assert said == [row.method != "GET"] * 3


def test_every_act_has_an_endpoint() -> None:
    assert {act for row in ENDPOINTS for act in row.acts} == {*Action}


def test_a_repair_is_done_only_through_its_preview() -> None:
    doing = {row.path for row in ENDPOINTS if {*row.acts} & {*REPAIRS}}

    assert doing == {"/previews", "/previews/{preview_id}/execute", "/bulks/{bulk_id}/execute"}


@pytest.mark.parametrize("row", ACTS, ids=_name)
def test_the_example_of_a_body_is_valid(row: Endpoint) -> None:
    body = document()["paths"][f"{ROOT}{row.path}"][row.method.lower()]["requestBody"]["content"]["application/json"]

    assert [error.message for error in Draft202012Validator(body["schema"]).iter_errors(body["example"])] == []


@pytest.mark.parametrize("row", ACTS, ids=_name)
def test_the_example_of_a_body_is_read(row: Endpoint) -> None:
    for one in row.body:
        if one.example is not None:
            one.value.read(one.name, one.example)


@pytest.mark.parametrize("row", [row for row in ENDPOINTS if row.path_inputs or row.query], ids=_name)
def test_the_example_of_a_parameter_is_valid_and_read(row: Endpoint) -> None:
    for one in (*row.path_inputs, *row.query):
        if one.example is not None:
            assert Draft202012Validator(one.value.schema).is_valid(one.example)
            one.value.read(one.name, one.example)


@pytest.mark.parametrize(("record", "made"), WRITTEN)
def test_the_schema_of_a_record_describes_what_is_written_of_it(record: AsDict, made: dict[str, Any]) -> None:
    schemas = Schemas()
    schema = {**schemas.of(type(record)), "components": {"schemas": schemas.components}}

    assert [error.message for error in Draft202012Validator(schema).iter_errors(made)] == []


def test_every_call_that_reads_has_an_endpoint_or_is_left_out_for_a_reason() -> None:
    sources = "".join(inspect.getsource(row.handler) for row in ENDPOINTS)
    called = {(group, name) for group in READ for name in READ[group] if re.search(rf"\b{group}\.{name}\(", sources)}
    every = {(group, name) for group in READ for name in READ[group]}

    assert every - called == {(group, name) for group, names in LEFT_OUT.items() for name in names}


def test_an_operation_takes_whatever_its_call_takes() -> None:
    missing = {(row.name, argument) for row in ENDPOINTS for argument in _arguments(row) - _inputs(row)}

    assert missing == NOT_TAKEN


def _inputs(row: Endpoint) -> set[str]:
    return {one.argument for one in (*row.path_inputs, *row.query, *row.body)}


def _arguments(row: Endpoint) -> set[str]:
    """What the calls take that its handler makes, without who asks and through which door."""
    calls = re.findall(r"\b(\w+)\.(\w+)\(", inspect.getsource(row.handler))
    made = [getattr(Calls.__annotations__.get(group), name, None) for group, name in calls]
    return {name for call in made if call is not None for name in inspect.signature(call).parameters} - WHO


def test_the_document_is_one_of_openapi() -> None:
    parts = document()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', as_text()))

    assert parts["openapi"] == "3.1.0"
    assert references <= {*parts["components"]["schemas"]}
    for schema in parts["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
