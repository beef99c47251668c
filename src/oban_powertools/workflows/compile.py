"""Check a definition and make its plan: report all faults at once, or return rows ready to be stored.

Linear in steps and edges. The rule that must never break: nothing reaches the database unless every check has passed.
"""

import dataclasses
import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from oban import Job

from ..config import CONTEXT_LIMIT
from ..database import json_border
from ..errors import Fault, InvalidWorkflowError
from ..spelling import did_you_mean
from ..states import Effects, Policy
from .bounds import MOST_LEVELS, schedule_faults, span_faults, text_faults
from .builder import Workflow, as_definition
from .encode import job_columns, step_columns, template
from .graph import children_of, depths, find_cycle
from .identity import identity
from .inputs import StepName
from .job_identity import RESERVED_META
from .plan import StepPlan, WorkflowPlan
from .references import Reference, StepHandle, is_reference, place_of
from .runs import MapOver, NestedStep, SignalWait, StepDefinition

_POLICIES: Final = frozenset(str(policy) for policy in Policy)
_EFFECTS: Final = frozenset(str(effects) for effects in Effects)
_MAX_ATTEMPTS: Final = 2**15 - 1
_OF_SOME_KINDS: Final = (
    "worker queue args template meta tags scheduled_at deadline item_template max_failures nested".split()
)
_NO_COLUMNS: Final[Mapping[str, Any]] = {"priority": 0, "max_attempts": 1, **dict.fromkeys(_OF_SOME_KINDS)}
"""What a step's kind leaves out."""


def compile_workflow(workflow: Workflow, payload_limit: int, around: Sequence[Workflow] = ()) -> WorkflowPlan:
    """The plan of a definition.

    Args:
        payload_limit: Bytes of JSON in one step's args.
        around: The workflows that it is nested in, outermost first.

    Raises:
        InvalidWorkflowError: Lists every fault, each with the step's name and a path.
    """
    return _Compiler(workflow, payload_limit, around).compile()


class _Compiler:
    """Collects faults while it reads one definition once."""

    def __init__(self, workflow: Workflow, payload_limit: int, around: Sequence[Workflow]) -> None:
        self._workflow = workflow
        self._around = (*around, workflow)
        self._payload_limit = payload_limit
        self._faults: list[Fault] = []
        self._positions: dict[str, int] = {}
        self._edges: list[dict[int, Policy]] = [{} for _ in workflow.steps]
        self._implied: set[tuple[int, int]] = set()
        self._references: list[list[Reference[Any]]] = [[] for _ in workflow.steps]
        self._nested: dict[int, WorkflowPlan] = {}

    def compile(self) -> WorkflowPlan:
        self._check_workflow()
        self._name_steps()
        for position, step in enumerate(self._workflow.steps):
            self._check_step(position, step)
        parents = [sorted(edges) for edges in self._edges]
        found_depths = depths(parents)
        if found_depths is None:
            self._report_cycle(find_cycle(parents))
        if self._faults or found_depths is None:
            raise InvalidWorkflowError(str(self._workflow.name), self._located())
        return self._plan(self._plan_steps(parents, found_depths))

    def _fault(self, code: str, message: str, step: str | None = None, path: str | None = None) -> None:
        self._faults.append(Fault(code=code, message=message, step=step, path=path))

    def _located(self) -> list[Fault]:
        lines = {step.name: step.added_at for step in reversed(self._workflow.steps) if _is_text(step.name)}
        return [dataclasses.replace(fault, added_at=lines.get(fault.step or "") or None) for fault in self._faults]

    def _adopt(self, faults: Sequence[Fault], step: str | None) -> None:
        if faults:
            self._faults += [dataclasses.replace(fault, step=step) for fault in faults]

    # What belongs to the workflow itself

    def _check_workflow(self) -> None:
        workflow = self._workflow
        if not _is_text(workflow.name):
            self._fault("workflow_name_required", f"a workflow needs a name, found {workflow.name!r}")
        else:
            self._check_text(workflow.name, "name")
        if not workflow.steps:
            self._fault("no_steps", "a workflow needs at least one step")
        self._check_json(workflow.context, "context", None, CONTEXT_LIMIT)
        for key in ("idempotency_key", "definition_version"):
            if getattr(workflow, key) is not None:
                self._check_text(getattr(workflow, key), key)
        if workflow.idempotency_key is not None and not str(workflow.idempotency_key).strip():
            self._fault(
                "empty_text", "the key is empty: every such workflow would be the same", None, "idempotency_key"
            )
        for index, tag in enumerate(workflow.tags):
            self._check_text(tag, f"tags[{index}]")
        self._adopt(span_faults(workflow.expires_in, "expires_in", code="invalid_expiry", at_once=False), None)
        if workflow.on_finished is not None and self._check_job(workflow.on_finished, None, "on_finished"):
            self._check_json(workflow.on_finished.args, "on_finished.args", None, self._payload_limit)

    def _check_text(self, text: Any, path: str, step: str | None = None) -> None:
        self._adopt(text_faults(text, path), step)

    def _name_steps(self) -> None:
        for position, step in enumerate(self._workflow.steps):
            if not _is_text(step.name):
                self._fault("step_name_required", f"step {position} needs a name, found {step.name!r}")
            else:
                self._positions[step.name] = position
                self._check_text(step.name, "name", step.name)

    # What belongs to one step

    def _check_step(self, position: int, step: StepDefinition) -> None:
        for parent, policy in step.deps:
            self._add_edge(position, step, parent, policy)
        if not _is_word(step.on_failure, _POLICIES) and all(policy != step.on_failure for _, policy in step.deps):
            meant = did_you_mean(step.on_failure, _POLICIES)
            message = f"on_failure is {step.on_failure!r}; expected cancel or continue{meant}"
            self._fault("unknown_policy", message, step.name)
        if not _is_word(step.effects, _EFFECTS):
            message = (
                f"effects is {step.effects!r}; expected repeatable, ask or never{did_you_mean(step.effects, _EFFECTS)}"
            )
            self._fault("unknown_effects", message, step.name)
        self._adopt(span_faults(step.delay, "delay", code="invalid_delay"), step.name)
        self._check_runs(position, step)
        for reference in self._references[position]:
            self._add_reference(position, step, reference)

    def _check_runs(self, position: int, step: StepDefinition) -> None:
        match step.runs:
            case NestedStep() as nested:
                self._check_nested(position, as_definition("workflow", nested), step.name)
            case SignalWait() as wait:
                self._check_wait(position, wait, step.name)
            case MapOver() as mapped:
                if self._check_job(mapped.job, step.name, "job"):
                    self._check_json(mapped.job.args, "args", step.name, self._payload_limit, position, items=True)
                self._check_json({"over": mapped.over}, "over", step.name, self._payload_limit, position)
                if not _is_list(mapped.over):
                    self._fault(
                        "not_a_list", f"expected a reference or a list, found {_kind(mapped.over)}", step.name, "over"
                    )
                if mapped.max_failures < 0:
                    self._fault("invalid_max_failures", f"max_failures is {mapped.max_failures}", step.name)
            case job:
                if self._check_job(job, step.name, "job"):
                    self._check_json(job.args, "args", step.name, self._payload_limit, position)

    def _check_wait(self, position: int, wait: SignalWait, step: str) -> None:
        key: Any = wait.correlation_key
        if is_reference(key):
            self._check_json({"correlation_key": key}, "args", step, self._payload_limit, position)
        elif _is_key(key):
            self._check_text(key, "args.correlation_key", step)
        if _is_text(wait.signal) and _is_key(key):
            self._check_text(wait.signal, "args.signal", step)
        else:
            self._fault("signal_required", "a wait needs a signal and a correlation key", step)
        self._adopt(span_faults(wait.deadline, "deadline", code="invalid_deadline"), step)

    def _check_nested(self, position: int, nested: Workflow, step: str) -> None:
        if nested.idempotency_key is not None:
            self._fault(
                "nested_idempotency_key", "a nested workflow is stored with its parent; leave out its key", step
            )
        if any(nested is other for other in self._around):
            path = " -> ".join(str(workflow.name) for workflow in (*self._around, nested))
            return self._fault("cycle_detected", f"the workflow runs as a step of itself: {path}", step)
        if len(self._around) == MOST_LEVELS:
            message = (
                f"more than {MOST_LEVELS} workflows are nested in each other; insert one from a step's worker instead"
            )
            return self._fault("nested_too_deep", message, step)
        try:
            self._nested[position] = compile_workflow(nested, self._payload_limit, self._around)
        except InvalidWorkflowError as error:
            for fault in error.faults:
                inner = ".".join(part for part in (fault.step, fault.path) if part)
                self._fault(fault.code, fault.message, step, inner or None)

    def _check_job(self, job: Any, step: str | None, path: str) -> bool:
        if not isinstance(job, Job):
            self._fault("not_a_job", f"expected an Oban job, found {_kind(job)}{_job_hint(job)}", step, path)
            return False
        if job.id is not None:
            self._fault("enqueued_job", f"it is job {job.id} already; pass what new(...) gives", step, path)
        if job.meta:
            self._check_meta(job.meta, step)
        self._adopt(json_border.find_faults(job.worker, f"{path}.worker"), step)
        self._check_text(job.queue, f"{path}.queue", step)
        self._adopt(json_border.find_faults(job.tags, f"{path}.tags"), step)
        if job.max_attempts > _MAX_ATTEMPTS:
            message = f"max_attempts is {job.max_attempts}, at most {_MAX_ATTEMPTS} are allowed"
            self._fault("invalid_max_attempts", message, step, path)
        self._adopt(schedule_faults(job.scheduled_at, path), step)
        return True

    def _check_meta(self, meta: Mapping[str, Any], step: str | None) -> None:
        self._check_json(meta, "meta", step, self._payload_limit)
        if reserved := RESERVED_META & set(meta):
            self._fault("reserved_meta", f"these keys are Powertools' own: {', '.join(sorted(reserved))}", step, "meta")

    def _check_json(
        self, value: Any, path: str, step: str | None, limit: int, position: int | None = None, *, items: bool = False
    ) -> None:
        def leaf(part: Any, place: str) -> bool:
            if isinstance(part, StepHandle):
                message = f"a step is no value; pass its result: {part.name}.result"
                self._fault("non_serializable", message, step, place)
                return True
            if not is_reference(part) or position is None:
                return False
            if not (items and place_of(part).part == "item"):
                self._references[position].append(part)
            return True

        faults = json_border.find_faults(value, path, leaf)
        if not faults and value and (size := len(orjson.dumps(value, default=ascii))) > limit:
            faults = json_border.too_large(path, size, limit)
        self._adopt(faults, step)

    # Edges

    def _add_edge(self, position: int, step: StepDefinition, parent: StepName, policy: Any) -> None:
        name = parent.name if isinstance(parent, StepHandle) else parent
        if isinstance(parent, StepHandle) and not parent.belongs_to(self._workflow):
            message = f"the handle {name!r} belongs to another workflow"
            return self._fault(
                "missing_dependency", f"from {name!r} to {step.name!r} ({policy}): {message}", step.name, "deps"
            )
        if not _is_word(policy, _POLICIES):
            return self._fault(
                "unknown_policy", f"policy {policy!r} for {name!r}; expected cancel or continue", step.name, "deps"
            )
        if name not in self._positions:
            message = f"from {name!r} to {step.name!r} ({policy}): no step has that name{self._name_of(name)}"
            return self._fault("missing_dependency", message, step.name, "deps")
        source = self._positions[name]
        if source == position:
            return self._fault("self_loop", "the step depends on itself", step.name, "deps")
        if self._edges[position].setdefault(source, Policy(policy)) != policy:
            message = f"two edges from {name!r} with different policies; keep one"
            self._fault("conflicting_edges", message, step.name, "deps")

    def _add_reference(self, position: int, step: StepDefinition, reference: Reference[Any]) -> None:
        name, part, path, owner = place_of(reference)
        if owner is not None and owner is not self._workflow:
            message = f"{reference!r} belongs to another workflow"
            return self._fault("unknown_reference", message, step.name, "args")
        if part == "item":
            return self._fault("unknown_reference", "Workflow.item stands only in the args of a map", step.name, "args")
        self._adopt(json_border.find_faults([key for key in path if isinstance(key, str)], "args"), step.name)
        source = self._positions.get(name)
        if source is None:
            message = f"{reference!r} refers to a step that does not exist{self._name_of(name)}"
            return self._fault("unknown_reference", message, step.name, "args")
        if source == position:
            message = f"{reference!r} refers to the step itself, not to an ancestor"
            return self._fault("non_ancestor_reference", message, step.name, "args")
        if source not in self._edges[position]:
            self._implied.add((source, position))
            self._edges[position][source] = (
                Policy(step.on_failure) if _is_word(step.on_failure, _POLICIES) else Policy.CANCEL
            )

    def _name_of(self, name: object) -> str:
        # Comparing names is slow: only for a few messages.
        return "" if len(self._faults) > 20 else did_you_mean(name, self._positions)

    def _report_cycle(self, cycle: Sequence[int]) -> None:
        names = [self._workflow.steps[position].name for position in cycle]
        path = " -> ".join(names)
        for parent, child in itertools.pairwise(cycle):
            if (parent, child) in self._implied:
                parent_name, child_name = self._workflow.steps[parent].name, self._workflow.steps[child].name
                message = f"the reference to {parent_name!r} is not to an ancestor: {path}"
                return self._fault("non_ancestor_reference", message, child_name, "args")
        self._fault("cycle_detected", f"the steps depend on each other: {path}", names[0], "deps")

    # The plan

    def _plan_steps(self, parents: Sequence[Sequence[int]], found_depths: Sequence[int]) -> list[StepPlan]:
        by_policy = {
            policy: [
                [p for p in of_child if edges[p] is policy]
                for of_child, edges in zip(parents, self._edges, strict=True)
            ]
            for policy in Policy
        }
        children = {policy: children_of(by_policy[policy]) for policy in Policy}
        return [
            StepPlan(
                position=position,
                name=step.name,
                depth=found_depths[position],
                effects=step.effects,
                delay=step.delay,
                parents=by_policy[Policy.CANCEL][position],
                continue_parents=by_policy[Policy.CONTINUE][position] or None,
                children=children[Policy.CANCEL][position],
                continue_children=children[Policy.CONTINUE][position] or None,
                **self._plan_runs(position, step),
            )
            for position, step in enumerate(self._workflow.steps)
        ]

    def _plan_runs(self, position: int, step: StepDefinition) -> dict[str, Any]:
        match step.runs:
            case NestedStep():
                return {**_NO_COLUMNS, "kind": "workflow", "args": "{}", "nested": self._nested[position]}
            case SignalWait() as wait:
                args = {"signal": wait.signal, "correlation_key": wait.correlation_key}
                return {**_NO_COLUMNS, "kind": "signal", "deadline": wait.deadline, **self._args(position, args)}
            case MapOver() as mapped:
                return {
                    **_NO_COLUMNS,
                    "kind": "map",
                    **step_columns(mapped.job),
                    **self._args(position, {"over": mapped.over}),
                    "item_template": template(mapped.job.args, self._positions),
                    "max_failures": mapped.max_failures,
                }
            case job:
                return {**_NO_COLUMNS, "kind": "job", **step_columns(job), **self._args(position, job.args)}

    def _args(self, position: int, args: Mapping[str, Any]) -> dict[str, str | None]:
        if self._references[position]:
            return {"args": None, "template": template(args, self._positions)}
        return {"args": json_border.dumps(args), "template": None}

    def _plan(self, steps: list[StepPlan]) -> WorkflowPlan:
        workflow = self._workflow
        plan = WorkflowPlan(
            name=workflow.name,
            context=json_border.dumps(workflow.context),
            tags=list(workflow.tags),
            definition_version=workflow.definition_version,
            idempotency_key=workflow.idempotency_key,
            definition_hash=None,
            on_finished=job_columns(workflow.on_finished) if workflow.on_finished else None,
            expires_in=workflow.expires_in,
            steps=steps,
        )
        return plan if plan.idempotency_key is None else dataclasses.replace(plan, definition_hash=identity(plan))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_key(value: object) -> bool:
    return is_reference(value) or _is_text(value)


def _is_word(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def _job_hint(value: object) -> str:
    if inspect.iscoroutine(value):
        return "; pass what new(...) gives, not enqueue(...)"
    return "; call .new(...) on the worker" if hasattr(value, "new") else ""


def _is_list(value: object) -> bool:
    return isinstance(value, (Reference, list))


def _kind(value: object) -> str:
    return type(value).__qualname__
