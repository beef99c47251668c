"""Definitions that are compiled only: their plan, or their faults."""

from collections.abc import Mapping
from typing import Any

from oban_powertools import Workflow
from oban_powertools.errors import Fault, InvalidWorkflowError
from oban_powertools.workflows.compile import compile_workflow
from oban_powertools.workflows.plan import StepPlan
from tests.support.by_hand import step

LIMIT = 1024
"""Bytes of JSON in one step's args."""


def small(args: Mapping[str, Any] | None = None, **options: Any) -> Workflow:
    workflow = Workflow("small", **options)
    workflow.add("a", step(args))
    return workflow


def plan(workflow: Workflow) -> dict[str, StepPlan]:
    return {planned.name: planned for planned in compile_workflow(workflow, LIMIT).steps}


def faults(workflow: Workflow) -> tuple[Fault, ...]:
    try:
        plan(workflow)
    except InvalidWorkflowError as error:
        return tuple(error.faults)
    return ()


def codes(workflow: Workflow) -> list[tuple[str, str | None, str | None]]:
    return [(fault.code, fault.step, fault.path) for fault in faults(workflow)]
