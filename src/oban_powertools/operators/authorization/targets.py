"""The target of an action, with enough facts for a policy that decides row by row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ...acts import Action, TargetType
from ...states import WorkflowId


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing that an action is about."""

    type: TargetType
    """What it is."""

    id: str
    """Its id as text: a job's or workflow's number, ``41/bill`` for a step, an executor's id."""

    workflow_id: WorkflowId | None = None
    """Its workflow."""

    workflow_name: str | None = None
    """The workflow's label; None also when the workflow does not exist."""

    workflow_tags: tuple[str, ...] = ()
    """The workflow's tags."""

    step: str | None = None
    """Its step."""

    queue: str | None = None
    """The queue of its job."""

    worker: str | None = None
    """The worker of its job."""

    repair: Action | None = None
    """The repair to preview or execute; None for a direct action."""

    @classmethod
    def of_workflow(cls, workflow_id: WorkflowId, step: str | None = None) -> Self:
        """A workflow, or one of its steps, without further facts."""
        if step is None:
            return cls(type=TargetType.WORKFLOW, id=str(workflow_id), workflow_id=workflow_id)
        return cls(type=TargetType.STEP, id=f"{workflow_id}/{step}", workflow_id=workflow_id, step=step)

    def __str__(self) -> str:
        return f"{self.type.replace('_', ' ')} {self.id}"


def with_facts(target: Target, row: Mapping[str, Any]) -> Target:
    """A target with the queue and the worker of a row, and with its workflow's name and tags where it has one."""
    return replace(
        target,
        workflow_name=row.get("workflow_name"),
        workflow_tags=tuple(row.get("tags") or ()),
        queue=row["queue"],
        worker=row["worker"],
    )
