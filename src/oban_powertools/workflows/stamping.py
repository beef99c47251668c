"""Add the same further meta to every job of a plan, such as the trace, which integrations.opentelemetry.tracing makes.

It does not change a definition's hash, and a key that the author set wins.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from ..database import json_border
from .plan import StepPlan, WorkflowPlan


def stamped(plan: WorkflowPlan, meta: Mapping[str, str]) -> WorkflowPlan:
    """The plan with this meta in all its jobs, including those of maps' items, nested workflows and ``on_finished``.

    Args:
        meta: None of Powertools' own keys.
    """
    if not meta:
        return plan
    return dataclasses.replace(
        plan,
        steps=stamped_steps(plan.steps, meta),
        on_finished=None if plan.on_finished is None else _stamp_job(plan.on_finished, meta),
    )


def stamped_steps(steps: Sequence[StepPlan], meta: Mapping[str, str]) -> list[StepPlan]:
    """The steps, in their order, with this meta."""
    alone = json_border.dumps(meta)
    return [
        dataclasses.replace(
            step,
            meta=alone if step.meta is None else _merged(step.meta, meta),
            nested=None if step.nested is None else stamped(step.nested, meta),
        )
        for step in steps
    ]


def _merged(own: str, meta: Mapping[str, str]) -> str:
    return json_border.dumps({**meta, **json_border.loads(own)})


def _stamp_job(columns: str, meta: Mapping[str, str]) -> str:
    job = json_border.loads(columns)
    return json_border.dumps({**job, "meta": {**meta, **(job["meta"] or {})}})
