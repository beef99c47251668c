"""What became of a workflow in a test, and assertions about it whose messages say why. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from ..states import StepState, WorkflowId, WorkflowState
from ..workflows.records import StepRecord, WorkflowRecord

_ANYTHING: Final[Any] = object()
_MOST_STEPS: Final = 30
"""Steps that a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """A workflow as a run left it; read once, so look again after anything else has happened."""

    workflow: WorkflowRecord
    """The workflow."""

    steps: Mapping[str, StepRecord]
    """Name -> step, in position order; steps of a nested workflow or a map as ``fulfil/pack``, ``pages/pages[0]``."""

    why: str
    """The diagnosis in one sentence, as ``powertools workflow explain`` says it."""

    passed: timedelta
    """How much time passed in the run, by the clock of the database."""

    @property
    def id(self) -> WorkflowId:
        """The workflow's id."""
        return self.workflow.id

    @property
    def state(self) -> WorkflowState:
        """The workflow's state."""
        return self.workflow.state

    @property
    def results(self) -> dict[str, Any]:
        """Step name -> result of the completed steps."""
        return {name: step.result for name, step in self.steps.items() if step.state is StepState.COMPLETED}

    def assert_finished(self, state: WorkflowState | str = WorkflowState.COMPLETED) -> None:
        """Assert that the workflow has ended, and how.

        Raises:
            AssertionError: It is in another state; the message explains it.
        """
        __tracebackhide__ = True
        if self.state != state:
            raise AssertionError(f"workflow {self.id} {self.workflow.name!r} is {self.state}, expected {state}: {self}")

    def assert_step(
        self,
        name: str,
        *,
        state: StepState | str | None = None,
        result: Any = _ANYTHING,
        args: Any = _ANYTHING,
        error: str | None = None,
        attempts: int | None = None,
    ) -> StepRecord:
        """Assert what became of a step; only what is given is compared.

        Args:
            name: As in ``steps``.
            state: Its raw state: ``completed``, ``discarded``, ``awaiting_signal``, ...
            result: What its worker returned.
            args: What its worker was given.
            error: A part of the text of its last error.
            attempts: How often it ran.

        Returns:
            The step, for further assertions.

        Raises:
            AssertionError: Something is different; the message says everything that is, and explains the workflow.
        """
        __tracebackhide__ = True
        step = self.steps.get(name)
        if step is None:
            raise AssertionError(f"workflow {self.id} has no step {name!r}; it has {', '.join(self.steps)}")
        expected = {"state": state, "attempts": attempts}
        found = {"state": step.state, "attempts": step.attempt}
        faults = [
            f"{part} is {found[part]}, expected {value}"
            for part, value in expected.items()
            if value is not None and found[part] != value
        ]
        for part, value, real in (("result", result, step.result), ("args", args, self._args_of(name, step))):
            if value is not _ANYTHING and real != value:
                faults.append(f"{part} is {real!r}, expected {value!r}")
        if error is not None and error not in error_of(step):
            faults.append(f"error is {error_of(step) or None!r}, expected one with {error!r}")
        if faults:
            raise AssertionError(f"step {name!r} of workflow {self.id}: {'; '.join(faults)}. {self}")
        return step

    def _args_of(self, name: str, step: StepRecord) -> Any:
        path = name.rpartition("/")[0]
        return _filled_in(step.args, {"$result": "result", "$error": "error"}, f"{path}/" if path else "", self.steps)

    def __str__(self) -> str:
        lines = [f"  {name}: {_told(step)}" for name, step in list(self.steps.items())[:_MOST_STEPS]]
        if (more := len(self.steps) - _MOST_STEPS) > 0:
            lines.append(f"  and {more} more steps")
        return "\n".join([self.why, *lines])


def error_of(step: StepRecord) -> str:
    """The last line of a step's last error, which names its class and its text; empty without one."""
    error: Any = step.error
    if isinstance(error, Mapping):
        error = cast("Mapping[str, Any]", error).get("error")
    lines = str(error or "").strip().splitlines()
    return lines[-1] if lines else ""


def _filled_in(value: Any, parts: Mapping[str, str], path: str, steps: Mapping[str, StepRecord]) -> Any:
    """A value whose references are replaced, as the database did when it released the step."""
    if isinstance(value, list):
        return [_filled_in(item, parts, path, steps) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("dict[str, Any]", value)
    if len(items) == 1 and (part := parts.get(next(iter(items)))) is not None:
        [place] = items.values()
        found: Any = getattr(steps.get(f"{path}{place[0]}"), part, None)
        for key in place[1:]:
            try:
                found = found[int(key) if isinstance(found, list) else key]
            except (LookupError, TypeError, ValueError):
                return None
        return found
    return {key: _filled_in(item, parts, path, steps) for key, item in items.items()}


def _told(step: StepRecord) -> str:
    parts = [step.state.value]
    if step.attempt:
        parts.append(f"attempt {step.attempt} of {step.max_attempts}")
    if step.cause:
        parts.append(step.cause)
    if step.signal and step.state is StepState.AWAITING_SIGNAL:
        parts.append(f"signal {step.signal!r} with key {step.correlation_key!r}")
    if step.state is StepState.COMPLETED:
        parts.append(f"result {_cut(repr(step.result))}")
    elif error := error_of(step):
        parts.append(_cut(error))
    return ", ".join(parts)


def _cut(text: str, longest: int = 120) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
