"""Check the steps that a running step adds to its own workflow; they are stored with its completion.

The rule that must never break: they are stored in the transaction that completes the step, or not at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..database import json_border
from .builder import Workflow
from .compile import compile_workflow
from .plan import StepPlan
from .stamping import stamped_steps


def appended_steps(workflow: Workflow, payload_limit: int, meta: Mapping[str, str]) -> list[dict[str, Any]]:
    """The steps of a definition as the database appends them.

    The first step of the definition stands for the running one and is not stored again.

    Args:
        meta: For the jobs of all of them; may be empty.

    Raises:
        InvalidWorkflowError: Lists every fault.
    """
    plan = compile_workflow(workflow, payload_limit)
    added = plan.steps[1:]
    return [_row(step) for step in (stamped_steps(added, meta) if meta else added)]


def _row(step: StepPlan) -> dict[str, Any]:
    columns: Sequence[str] = ("name", "worker", "queue", "effects", "priority", "max_attempts", "tags", "depth")
    return {
        **{column: getattr(step, column) for column in columns},
        "place": step.position,
        "args": json_border.loads(step.args) if step.args else None,
        "template": json_border.loads(step.template) if step.template else None,
        "meta": json_border.loads(step.meta) if step.meta else None,
        "delay": step.delay.total_seconds() if step.delay is not None else None,
        "scheduled_at": step.scheduled_at.isoformat() if step.scheduled_at else None,
        "parents": step.parents,
        "continue_parents": step.continue_parents or [],
        "children": step.children,
        "continue_children": step.continue_children or [],
    }
