"""The one registry of tools: adding one is one row.

The list for the agent, the check of its arguments, the hints and the reference page derive from it.

The hints are advice to the client; the host's policy is the boundary.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ..acts import IN_BULK, REPAIRS, SHORTEST_REASON
from ..incident_classes import IncidentClass
from ..operators.audit import Outcome
from ..operators.authorization import ActorType, Surface
from ..states import ExecutorStatus, IncidentState
from . import reading, repairing
from .door import Request, ToolAnswer
from .inputs import Input, anything, count, key, word, words


class Does(Enum):
    """What a tool does to the database."""

    READ = "read"
    """Nothing."""

    PREVIEW = "preview"
    """Stores a preview, and what was refused in the audit."""

    EXECUTE = "execute"
    """Changes jobs and workflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool."""

    does: Does
    """What it does to the database."""

    title: str
    """For people."""

    description: str
    """For the agent."""

    inputs: Mapping[str, Input]
    """Argument -> what it is."""

    answer: Callable[[Request], Awaitable[ToolAnswer]]
    """Calls it."""

    @property
    def hints(self) -> dict[str, Any]:
        """The hints of the protocol: every repetition is without a further effect, and nothing outside is touched."""
        return {
            "title": self.title,
            "read_only_hint": self.does is Does.READ,
            "destructive_hint": self.does is Does.EXECUTE,
            "idempotent_hint": True,
            "open_world_hint": False,
        }


_WORKFLOW_ID: Final = key("The workflow's id.", required=True)
_LIMIT: Final = count("Records of this page.", reading.PAGE, reading.MOST)
_BEFORE: Final = key("Only older ones: next_before of the page before.")
_HOLD_FOR: Final = Input("How long, of a hold, in whole seconds.", {"type": "integer", "minimum": 1})


def _read(title: str, description: str, answer: Callable[[Request], Awaitable[ToolAnswer]], **inputs: Input) -> Tool:
    return Tool(does=Does.READ, title=title, description=description, inputs=inputs, answer=answer)


TOOLS: Final[Mapping[str, Tool]] = {
    "list_incidents": _read(
        "List incidents",
        "What is broken: one incident per cause, the last opened first. Open ones unless a state is given.",
        reading.list_incidents,
        state=word("Only in this state.", IncidentState),
        incident_class=word("Only of this class.", IncidentClass),
        before=_BEFORE,
        limit=_LIMIT,
    ),
    "get_incident": _read(
        "Get an incident",
        "One incident with its evidence, its timeline and the repairs that it suggests.",
        reading.get_incident,
        incident=key("Its id or its fingerprint.", required=True),
    ),
    "explain_step": _read(
        "Explain a step",
        "Why a step is as it is: its state, what it waits for, the root causes, what may be done.",
        reading.explain_step,
        workflow_id=_WORKFLOW_ID,
        step=words("The step's name.", required=True),
    ),
    "explain_workflow": _read(
        "Explain a workflow",
        "Why a workflow is as it is: its steps by state, the root causes, what may be done.",
        reading.explain_workflow,
        workflow_id=_WORKFLOW_ID,
    ),
    "explain_job": _read(
        "Explain a job",
        "Why a job of Oban is as it is, a step's or a plain one.",
        reading.explain_job,
        job_id=key("The job's id.", required=True),
    ),
    "get_workflow": _read(
        "Get a workflow",
        "A workflow and a page of its steps, those that failed first; without args and results.",
        reading.get_workflow,
        workflow_id=_WORKFLOW_ID,
        after=words("Only the steps after this place: next_after of the page before."),
        limit=_LIMIT,
    ),
    "list_executors": _read(
        "List executors",
        "Executors with their health and their last heartbeat, those that were replaced or have stopped last.",
        reading.list_executors,
        status=word("Only with this word.", ExecutorStatus),
        after=words("Only the executors after this place: next_after of the page before."),
        limit=_LIMIT,
    ),
    "list_queues": _read(
        "List queues", "Every queue: who serves it, what waits in it, and since when.", reading.list_queues
    ),
    "search_audit": _read(
        "Search the audit",
        "What operators and Powertools did, refused attempts too, the newest first.",
        reading.search_audit,
        actor=words("Only of this actor's id."),
        actor_type=word("Only of this kind of actor.", ActorType),
        surface=word("Only through this door; mcp is that of agents.", Surface),
        action=words("Only of this action, such as job_retry."),
        target_type=words("Only about this type of target, such as workflow."),
        target_id=words("Only about this target, together with target_type."),
        outcome=word("Only with this outcome.", Outcome),
        since=words("Only from this instant on, ISO 8601."),
        until=words("Only before this instant, ISO 8601."),
        before=_BEFORE,
        limit=_LIMIT,
    ),
    "get_preview": _read(
        "Get a preview",
        "A preview as it is now: ready, consumed, drifted or expired; without its token.",
        reading.get_preview,
        preview_id=key("The preview's id.", required=True),
    ),
    "doctor": _read(
        "Examine the database",
        "What is wrong with the database and its configuration, as the command powertools doctor says it.",
        reading.doctor,
    ),
    "preview_repair": Tool(
        does=Does.PREVIEW,
        title="Preview a repair",
        description="What a repair would change, without changing it. Repeated, it gives the same preview again.",
        inputs={
            "action": word("Which repair.", REPAIRS, required=True),
            "target_type": words("Type of the target: job, step, workflow, executor ...", required=True),
            "target_id": key("A number; 41/bill for a step; an executor's id.", required=True),
            "incident": key("The incident that it is for: its id or its fingerprint."),
            "payload": anything("The result, of step_complete."),
            "hold_for_seconds": _HOLD_FOR,
            "to": words("The waiting step that takes it, of signal_redirect: 41/bill."),
        },
        answer=repairing.preview_repair,
    ),
    "preview_bulk": Tool(
        does=Does.PREVIEW,
        title="Preview a bulk repair",
        description="The targets of one repair for many, at most 1,000, without changing them. A person executes it.",
        inputs={
            "action": word("Which repair.", IN_BULK, required=True),
            "filter": Input(
                "What to match, all of it: ids, state, queue, worker and so on, by type of target.",
                {"type": "object"},
                required=True,
            ),
            "incident": key("The incident that it is for: its id or its fingerprint."),
            "hold_for_seconds": _HOLD_FOR,
        },
        answer=repairing.preview_bulk,
    ),
    "execute_repair": Tool(
        does=Does.EXECUTE,
        title="Execute a repair",
        description="Do exactly what was previewed, or nothing; a token works once. Ask the person first.",
        inputs={
            "token": words("preview_token of the preview.", required=True),
            "reason": words(
                f"Why, at least {SHORTEST_REASON} characters, for the readers of the audit.", required=True
            ),
        },
        answer=repairing.execute_repair,
    ),
}
"""Name -> tool, in the order in which they are listed."""


def offered(*, may_execute: bool) -> dict[str, Tool]:
    """The tools that an agent is told of."""
    return {name: tool for name, tool in TOOLS.items() if may_execute or tool.does is not Does.EXECUTE}
