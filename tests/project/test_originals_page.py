"""docs/reference/originals.md has every call of ObanPowertools and Baton with code of ours, which test_docs.py runs."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "originals.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))

CALLS = {
    "Lifeline.refresh_heartbeats": ("Heartbeats", "lifeline.refresh_heartbeats("),
    "Lifeline.list_executor_health": ("Health and incidents", "lifeline.list_executor_health("),
    "Lifeline.project_incidents": ("Health and incidents", "lifeline.project_incidents("),
    "Lifeline.preview_repair": ("Preview a repair", "lifeline.preview_repair("),
    "Lifeline.execute_repair": ("Execute a repair", "lifeline.execute_repair("),
    "Lifeline.retention_status": ("Retention", "lifeline.retention_status("),
    "Lifeline.run_archive_prune": ("Retention", "lifeline.run_archive_prune("),
    "Workflow.new": ("Build and insert a workflow", "Workflow("),
    "Workflow.add": ("Build and insert a workflow", "workflow.add("),
    "Workflow.result": ("Build and insert a workflow", "Workflow.result("),
    "Workflow.insert": ("Build and insert a workflow", "workflows.insert("),
    "Workflow.complete_step": ("Complete a step", "workflows.complete_step("),
    "Explain.workflow_step": ("Explain a step", "explain.workflow_step("),
    "Baton.Events.subscribe_all": ("Subscribe", "events.subscribe_all("),
    "Baton.Events.subscribe_workflow": ("Subscribe", "events.subscribe_workflow("),
    "Baton.Events.unsubscribe_workflow": ("Subscribe", "has unsubscribed"),
    "Baton.Events.topic_all": ("Subscribe", "events.topic_all("),
    "Baton.Events.topic_workflow": ("Subscribe", "events.topic_workflow("),
    "Baton.Events.broadcast_step_started": ("Broadcast a step", '"drill", "started"'),
    "Baton.Events.broadcast_step_completed": ("Broadcast a step", '"drill", "completed", True'),
    "Baton.Events.broadcast_step_retrying": ("Broadcast a step", '"drill", "retrying"'),
    "Baton.Events.broadcast_step_discarded": ("Broadcast a step", '"glue", "discarded"'),
    "Baton.Events.broadcast_step_cancelled": ("Broadcast a step", '"paint", "cancelled"'),
    "Baton.Events.broadcast_step_snoozed": ("Broadcast a step", '"drill", "snoozed"'),
    "Baton.Events.broadcast_workflow_finished": (
        "Broadcast the end of a workflow",
        "isinstance(event, WorkflowFinished)",
    ),
}
"""A call of the originals -> where it is shown, and what shows it there."""

PROMISES = {
    "Heartbeats": ["app:oban:default:node-a:producer-1", "Powertools sends its heartbeats"],
    "Health and incidents": ["executor_late", "executor_missing", "dead_executor", "workflow_stuck"],
    "Preview a repair": [
        "incident_fingerprint=",
        'action="job_rescue"',
        "NotAuthorizedError",
        "UnsupportedTargetError",
        "preview_rescue(powertools)).preview_token == preview.preview_token",
    ],
    "Execute a repair": [
        "ReasonTooShortError",
        "PreviewConsumedError",
        "PreviewDriftedError",
        "audit.get(",
        '"resolved"',
    ],
    "Retention": ["reason=", "run.archived"],
    "Build and insert a workflow": ["context=", "customer.result", "deps=[", "InvalidWorkflowError"],
    "Complete a step": ['status="completed"', "payload=", "AlreadyTerminalError"],
    "Explain a step": [".status", ".state", ".blockers", ".dependencies"],
    "Semantics version 2": [
        "semantics_version",
        '"stored"',
        '"duplicate"',
        '"ambiguous"',
        '"late"',
        "workflows.recover(",
        "completed_after_cancel_request",
        "cancel_requested_at",
        "powertools.waits",
    ],
    "Broadcast a step": ["events.publish", "workflows.complete_step"],
    "Broadcast the end of a workflow": [
        "oban_powertools.workflow.finished",
        "failed_steps",
        "told[-1]",
        "EVENTS[name]",
    ],
    "The operator's surface": ["workflow explain", "repair preview", "repair execute", "audit list"],
}
"""A section -> what the contract promises of it beyond the calls, as its code shows it."""


def _code(section: str, *kinds: str) -> str:
    return "".join(
        text for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", SECTIONS[section], re.M | re.S) if kind in kinds
    )


@pytest.mark.parametrize("original", CALLS)
def test_a_call_of_the_originals_is_in_the_table_and_shown_with_ours(original: str) -> None:
    section, ours = CALLS[original]
    [table] = re.findall(r"^\| There \| Here \|\n((?:\|.*\n)+)", PAGE.replace("`Baton.Events.", "`"), re.M)
    rows = [row for row in table.splitlines() if f"`{original.removeprefix('Baton.Events.')}`" in row]

    assert [f"(#{section.lower().replace(' ', '-')})" in row for row in rows] == [True]
    assert f"{original}(" in _code(section, "elixir")
    assert ours in _code(section, "python")


@pytest.mark.parametrize("section", PROMISES)
def test_what_is_promised_is_shown_by_code_that_runs_and_checks_itself(section: str) -> None:
    code = _code(section, "python", "console", "sql")

    assert [promise for promise in PROMISES[section] if promise not in code] == []
    assert "assert " in code or "\n$ " in f"\n{code}"


def test_what_is_not_there_yet_is_said() -> None:
    text = SECTIONS["The operator's surface"]

    assert "**Not there yet:**" in text
    assert "web console" in text
    assert "Oban Web" in text
