"""The list of workflows: every filter of ``workflows.list`` in the address, the newest first."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from starlette.responses import Response

from ...arguments import refuse
from ...database.json_border import read_json
from ...states import OperatorStatus, WorkflowState
from ...workflows.finding import Nested, nested_filter
from ...workflows.reasons import uncompleted_steps, workflow_reason
from ...workflows.records import WorkflowRecord
from ..page import ROWS, Page, get

_TEXTS: Final[Mapping[str, str]] = {
    "name": "name",
    "tag": "tag",
    "key": "idempotency_key",
    "label": "label",
    "worker": "worker",
    "step": "step",
    "error": "error",
}
"""Name in the address, as that of the command's option -> argument of the call."""

_INSTANTS: Final[Mapping[str, str]] = {
    "since": "inserted_from",
    "until": "inserted_to",
    "finished_since": "finished_from",
    "finished_until": "finished_to",
}

_ELSEWHERE: Final = re.compile(r"(.+) of workflow ([0-9]+)", re.DOTALL)
"""How a record names a step of another workflow."""

_FIRST: Final = """\
order = Workflow("order", context={"label": "order 7"})
order.add("charge", charge.new({"order": 7}))
order.add("mail", mail.new({}), deps=["charge"])
await powertools.workflows.insert(order)
"""
"""How somebody gets a first one."""


async def list_workflows(page: Page) -> Response:
    """The list."""
    given = {name: page.query(name) for name in (*_TEXTS, "context", *_INSTANTS)}
    asked = page.word("nested", Nested)
    nested = nested_filter(asked, searches=any(given.values()))
    found = await page.part(_find(page, given, nested))
    workflows, more = found.value or ([], False)
    filters = {name: value for name, value in given.items() if value}
    return page.render(
        "workflows.html",
        title="Workflows",
        topics=("workflow:all",),
        found=found,
        rows=[_row(page, workflow) for workflow in workflows],
        next=workflows[-1].id if more else None,
        first_page=page.query("cursor") is None,
        given=given,
        filters=filters,
        word=page.query("status"),
        state=page.query("state"),
        asks_nested=asked,
        leaves_out_nested=nested is False,
        tabs=_tabs(page),
        first=_FIRST,
    )


async def _find(
    page: Page, given: Mapping[str, str | None], nested: bool | None
) -> tuple[Sequence[WorkflowRecord], bool]:
    """A page of workflows, and whether there are more."""
    filters: dict[str, Any] = {argument: given[name] for name, argument in _TEXTS.items() if given[name]}
    filters |= {argument: page.instant(name) for name, argument in _INSTANTS.items() if given[name]}
    if context := given["context"]:
        filters["context"] = _fields(context)
    cursor = page.query("cursor")
    workflows = await page.calls.workflows.list(
        status=page.word("status", OperatorStatus),
        state=page.word("state", WorkflowState),
        nested=nested,
        before=cursor,
        limit=ROWS + 1,
        **filters,
    )
    return [page.calls.as_displayed(workflow) for workflow in workflows[:ROWS]], len(workflows) > ROWS


def _fields(text: str) -> dict[str, Any]:
    """``account_id=42, region=eu``, or an object in JSON, as fields: a value that is JSON is that, another is text.

    >>> _fields('account_id=42, region=eu'), _fields('{"a": [1, 2]}')
    ({'account_id': 42, 'region': 'eu'}, {'a': [1, 2]})
    """
    expected = "FIELD=VALUE, as in account_id=42, or an object in JSON"
    if text.startswith("{"):
        try:
            return dict(read_json(text))
        except ValueError as error:
            raise refuse("context", text, expected) from error
    fields: dict[str, Any] = {}
    for pair in text.split(","):
        name, equals, value = pair.strip().partition("=")
        if not name or not equals:
            raise refuse("context", text, expected)
        try:
            fields[name] = read_json(value)
        except json.JSONDecodeError:
            fields[name] = value
    return fields


def _tabs(page: Page) -> list[tuple[str, str, bool, None]]:
    """All, each of the operator's words, and those that failed; a tab keeps the other filters."""
    status, state = page.query("status"), page.query("state")
    words = ((word.value, page.here(status=word.value, state=None), status == word, None) for word in OperatorStatus)
    failed = WorkflowState.FAILED
    return [
        ("All", page.here(status=None, state=None), not (status or state), None),
        *words,
        ("Failed", page.here(status=None, state=failed.value), state == failed, None),
    ]


def _row(page: Page, workflow: WorkflowRecord) -> dict[str, Any]:
    """A workflow with what its row says."""
    # The host's display policy may turn a context into anything.
    label = workflow.context.get("label") if isinstance(cast("Any", workflow.context), dict) else None
    about = [label] if isinstance(label, str) else []
    about += [tag for tag in workflow.tags if tag not in about]
    done = workflow.total - workflow.open
    return {
        "workflow": workflow,
        "address": page.url(f"/workflows/{workflow.id}"),
        "about": ", ".join(about),
        "done": done,
        "tone": _tone(workflow.status),
        "uncompleted": uncompleted_steps(workflow),
        "reason": workflow_reason(workflow),
        "step_address": _step_address(page, workflow),
        "lasted": workflow.finished_at - workflow.inserted_at if workflow.finished_at else None,
    }


def _step_address(page: Page, workflow: WorkflowRecord) -> str | None:
    """Where the step is that holds it up."""
    if workflow.held_up_by is None:
        return None
    if elsewhere := _ELSEWHERE.fullmatch(workflow.held_up_by):
        return page.url(f"/workflows/{elsewhere[2]}", step=elsewhere[1])
    return page.url(f"/workflows/{workflow.id}", step=workflow.held_up_by)


def _tone(status: OperatorStatus) -> str:
    """The tone of its bar."""
    return {
        OperatorStatus.NEEDS_REVIEW: "act",
        OperatorStatus.BLOCKED: "held",
        OperatorStatus.RUNNING: "running",
    }.get(status, "")


ROUTES: Final = (get("/workflows", list_workflows),)
