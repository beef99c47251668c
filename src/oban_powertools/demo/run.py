"""One run of the demo, from the database to the last word."""

import os
from pathlib import Path
from typing import Final

from .. import Powertools, WorkflowId, WorkflowState
from . import steps
from .database import open_database
from .live import LiveStream
from .screen import Screen
from .story import Story
from .summary import tell_end
from .workers import Workers

WORKERS: Final = 2


async def run(folder: Path, data_directory: Path | None, *, fresh: bool) -> None:
    """Run the census, or go on with the one that an earlier run left unfinished.

    Args:
        folder: For the report.
        data_directory: As ``start_embedded``.
        fresh: Forget what earlier runs left.

    Raises:
        DemoError: It cannot go on, or did not end as planned.
        PowertoolsError: The database did not start.
        LookupError: This Python came without the source of its library.
        OSError: The folder cannot be written.
    """
    _check_folder(folder)
    screen = Screen()
    screen.text("Starting PostgreSQL and two worker processes (the first time takes a little longer).", "")
    async with (
        open_database(data_directory, fresh=fresh) as dsn,
        Powertools.open(dsn, node="demo") as powertools,
    ):
        before = await powertools.events.head()
        workflow_id = await _start_or_go_on(powertools, folder, screen)
        async with powertools.events.subscribe_workflow(workflow_id, since=before) as events:
            live = LiveStream(events, screen)
            try:
                with Workers(data_directory, WORKERS) as workers:
                    story = Story(powertools, workflow_id, workers, live, screen)
                    await story.watch()
                    await tell_end(powertools, story, screen, data_directory)
            finally:
                live.stop()


def _check_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {folder} cannot be written: choose another one with --report")


async def _start_or_go_on(powertools: Powertools, folder: Path, screen: Screen) -> WorkflowId:
    unfinished = await powertools.workflows.list(state=WorkflowState.RUNNING, name=steps.NAME, limit=1)
    for record in unfinished:
        done = record.total - record.open
        screen.event(
            f"workflow {record.id} of an earlier run is unfinished: going on after {done} of {record.total} steps"
        )
        return record.id
    workflow = steps.build(folder)
    handle = await powertools.workflows.insert(workflow)
    screen.event(f"workflow {handle.id}, the {workflow.name}, has {len(workflow.steps)} steps")
    return handle.id
