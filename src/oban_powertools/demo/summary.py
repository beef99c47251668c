"""What the demo says at its end: the numbers, the report, and what to try next."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import Powertools, StepRecord, StepState, WorkflowRecord, WorkflowState
from .live import DemoError
from .screen import Screen
from .steps import FLAKY, HANDLER, WITHOUT_SOURCE
from .story import Story
from .workers import data_option


async def tell_end(powertools: Powertools, story: Story, screen: Screen, data_directory: Path | None) -> None:
    """Print the end of the story.

    Args:
        data_directory: As the user gave it.

    Raises:
        DemoError: It did not end as planned.
    """
    elapsed = story.elapsed
    workflow = await powertools.workflows.get(story.workflow_id)
    _check_outcome(workflow)
    steps = await powertools.workflows.steps(story.workflow_id)
    states = Counter(step.state for step in steps)
    result = next(step.result for step in steps if step.name == "report")
    command = shlex.join([_short(Path(sys.executable)), "-m", "oban_powertools.demo", *data_option(data_directory)])
    screen.text(
        "",
        f"  steps     {len(steps)}: {states[StepState.COMPLETED]} completed, {states[StepState.DISCARDED]} discarded",
        *await _describe_runs(story, steps),
        f"  time      {elapsed:.1f} s, {(len(steps) - story.done_before) / elapsed:.0f} steps/s",
        f"  events    {story.live.counted}, none missing",
        f"  measured  {_describe(result)}",
        f"  state     {workflow.state}, failures handled: {WITHOUT_SOURCE!r} was discarded, {HANDLER!r} dealt with it",
        "            (a workflow with a discarded step never says completed)",
        f"  report    {'  '.join(_short(Path(path)) for path in result['files'])}",
        "",
        "Try next, on the demo's database:",
        f"  {command} powertools workflow show {workflow.id}",
        f"  {command} powertools workflow explain {workflow.id}",
    )


def _check_outcome(workflow: WorkflowRecord) -> None:
    found = (workflow.state, workflow.failures_handled, workflow.failed_steps)
    if found != (WorkflowState.FAILED, True, (WITHOUT_SOURCE,)):
        failed = ", ".join(workflow.failed_steps) or "none"
        raise DemoError(f"workflow {workflow.id} did not end as planned: {workflow.state}, failed steps: {failed}")


async def _describe_runs(story: Story, steps: Sequence[StepRecord]) -> list[str]:
    runs = sum(step.attempt for step in steps)
    again = _ran_again(story, steps)
    parts = [f"{runs}: one of each step", f"2 retries of {FLAKY!r}", f"{len(again)} again after the kill"]
    if others := runs - len(steps) - 2 - len(again):
        parts.append(f"{others} again because a run was interrupted or a worker was cut off")
    lines = [f"  runs      {', '.join(parts)}"]
    if story.killed is not None:
        nodes = Counter([await story.node_of(step) for step in again])
        where = ", ".join(f"{count} on {str(node).replace('-', ' ')}" for node, count in nodes.items())
        ended = len(story.killed.held) - len(again)
        lines.append(
            f"  killed    worker {story.killed.worker.pid} with {len(story.killed.held)} steps in hand: "
            f"{len(again)} ran again ({where or 'none'}){f', {ended} had just ended' if ended else ''}"
        )
    return lines


def _ran_again(story: Story, steps: Sequence[StepRecord]) -> list[StepRecord]:
    """The steps of the killed worker, without those whose outcome it had sent with its last breath."""
    if story.killed is None:
        return []
    held = story.killed.held
    return [step for step in steps if step.name in held and step.attempt > held[step.name].attempt]


def _describe(result: dict[str, Any]) -> str:
    return (
        f"{result['modules']:,} modules, {result['lines']:,} lines, {result['functions']:,} functions and "
        f"{result['classes']:,} classes of {result['python']}"
    )


def _short(path: Path) -> str:
    """Relative to here where it is below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
