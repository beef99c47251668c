"""One run of the demo, from opening the database to the summary."""

import os
import shlex
import shutil
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from .. import Powertools, StepState, WorkflowId, WorkflowState
from ..cli.exits import Exit, StoppedError
from . import console, steps
from .database import open_database
from .screen import Screen
from .story import Story
from .workers import demo_command, start_worker


async def run_demo(folder: Path, data_directory: Path | None, *, fresh: bool, with_console: bool = False) -> None:
    """Run the census, or go on with the one that an earlier run left unfinished.

    Args:
        folder: For the report; absolute.
        data_directory: As ``start_embedded``.
        fresh: Forget what earlier runs left.
        with_console: Serve the console at the end, until Ctrl+C.

    Raises:
        StoppedError: It cannot go on, or did not end as planned.
        PowertoolsError: The database did not start.
    """
    screen = Screen()
    screen.event("starting PostgreSQL and two worker processes (the first time takes longer)")
    async with open_database(data_directory, fresh=fresh) as dsn, Powertools.open(dsn, node="demo") as powertools:
        before = await powertools.events.head()
        workflow_id = await _start_or_go_on(powertools, folder, screen)
        async with powertools.events.subscribe_workflow(workflow_id, since=before) as events:
            with ExitStack() as workers:
                story = Story(powertools, workflow_id, partial(start_worker, workers, data_directory), screen)
                await story.watch(events)
        await _sum_up(powertools, story, screen, workflow_id)
        _tell_what_next(data_directory, workflow_id, screen)
        if with_console:
            with ExitStack() as workers:
                await console.show(powertools, dsn, folder, partial(start_worker, workers, data_directory), screen)


def _tell_what_next(data_directory: Path | None, workflow_id: WorkflowId, screen: Screen) -> None:
    command = demo_command(data_directory)
    command[0] = "powertools" if shutil.which("powertools") == command[0] else _short(command[0])
    for verb in ("show", "explain"):
        screen.tell("try next", f"{shlex.join(command)} powertools workflow {verb} {workflow_id}")


async def _start_or_go_on(powertools: Powertools, folder: Path, screen: Screen) -> WorkflowId:
    for record in await powertools.workflows.list(state=WorkflowState.RUNNING, name=steps.NAME, limit=1):
        progress = f"{record.total - record.open} of {record.total} steps"
        screen.event(f"workflow {record.id} of an earlier run is unfinished: going on after {progress}")
        return record.id
    workflow = steps.build(folder)
    handle = await powertools.workflows.insert(workflow)
    screen.event(f"workflow {handle.id}, the {workflow.name}, has {len(workflow.steps)} steps")
    return handle.id


async def _sum_up(powertools: Powertools, story: Story, screen: Screen, workflow_id: WorkflowId) -> None:
    workflow, records = await powertools.workflows.get(workflow_id), await story.steps()
    states = Counter(step.state for step in records)
    if (workflow.failures_handled, workflow.failed_steps) != (True, (steps.WITHOUT_SOURCE,)):
        ending = f"{workflow.state}, failed steps: {', '.join(workflow.failed_steps) or 'none'}"
        raise StoppedError(f"workflow {workflow_id} did not end as planned: {ending}", Exit.FAILED)
    report = next(step.result for step in records if step.name == "report")
    again = [step for step in records if step.attempt > story.held.get(step.name, step.attempt)]
    nodes = Counter([str(await story.node_of(step)).replace("-", " ") for step in again])
    places = ", ".join(f"{count} on {node}" for node, count in nodes.items()) or "none"
    completed, discarded = states[StepState.COMPLETED], states[StepState.DISCARDED]
    screen.tell("steps   ", f"{len(records)}: {completed} completed, {discarded} discarded")
    if story.killed is not None:
        killed = f"worker {story.killed} with {len(story.held)} steps in hand"
        ended = f"; {count} had just ended" if (count := len(story.held) - len(again)) else ""
        screen.tell("killed  ", f"{killed}: {len(again)} ran again ({places}){ended}")
    screen.tell("events  ", f"{story.counted}, none missing")
    handled = f"failures handled: {steps.WITHOUT_SOURCE!r} by {steps.HANDLER!r}"
    screen.tell("state   ", f"{workflow.state}, {handled}")
    screen.tell("found   ", report["found"])
    screen.tell("report  ", _short(report["file"]))


def _short(path: str) -> str:
    """Relative to here where it is below."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
