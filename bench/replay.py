"""Replay recorded workflows: every task a step, its parents its dependencies, its run time scaled.

    python bench/replay.py FILE [FILE ...] [--speed S] [--dsn DSN] [--processes N]

Afterwards it is checked that every task ran exactly once, after all its parents had ended, and that its result proves
the results of all its ancestors. Exit codes: 0 all is right, 1 a check or the run failed, 2 a file is malformed.
"""

import asyncio
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this file is run as a file

from bench.replay_task import Entry, Ledger, ReplayTask
from bench.wfformat import MalformedError, Recording, read
from oban_powertools import Powertools, PowertoolsError, StepHandle, Workflow, WorkflowState

ROOT = Path(__file__).parents[1]
BEYOND_THE_LONGEST_PATH = timedelta(minutes=5)
"""What a replay may take on top."""
STOP_WITHIN = timedelta(seconds=5)
"""Workers are idle at the end; they are killed when they are not."""
SHOWN_FAULTS = 10


class ReplayError(Exception):
    """The replay cannot go on; the text is one line."""


def build(recording: Recording, speed: float, queue: str, ledger: Path) -> Workflow:
    """The recording as a workflow.

    Args:
        speed: The recorded run times are divided by it; 0 leaves no run time at all.
    """
    workflow = Workflow(recording.name, context={"ledger": str(ledger)}, tags=["replay"])
    steps: dict[str, StepHandle] = {}
    for task in recording.tasks.values():
        args = {
            "task": task.id,
            "seconds": scaled(task.seconds, speed),
            "parents": [steps[parent].result for parent in task.parents],
        }
        steps[task.id] = workflow.add(task.id, ReplayTask.new(args, queue=queue), effects="repeatable")
    return workflow


def scaled(seconds: float, speed: float) -> float:
    return seconds / speed if speed else 0.0


def find_faults(recording: Recording, entries: Sequence[Entry], results: Mapping[str, Any]) -> list[str]:
    """What is wrong with a replay; empty when every task ran once, after its parents, with their results.

    Args:
        entries: The ledger of this workflow, oldest first.
        results: Task -> its step's result.
    """
    faults: list[str] = []
    written = Counter((entry.phase, entry.task) for entry in entries)
    for phase in ("start", "end"):
        faults += [
            f"task {task!r} has {written[phase, task]} entries of its {phase}, expected 1"
            for task in recording.tasks
            if written[phase, task] != 1
        ]
    faults += [f"{task!r} ran and is no task" for task in {entry.task for entry in entries} - set(recording.tasks)]
    places = {(entry.phase, entry.task): place for place, entry in enumerate(entries)}
    faults += [
        f"task {task.id!r} started before its parent {parent!r} had ended"
        for task in recording.tasks.values()
        for parent in task.parents
        if places.get(("start", task.id), 0) < places.get(("end", parent), 0)
    ]
    faults += [
        f"the result of task {task!r} is {results.get(task)!r}, expected {expected!r}"
        for task, expected in recording.digests().items()
        if results.get(task) != {"task": task, "digest": expected}
    ]
    return faults


async def replay(recordings: Sequence[Recording], speed: float, dsn: str | None, processes: int) -> bool:
    """Replay one after the other and print a line for each.

    ``at least`` is what the longest path of recorded run times needs at this speed, on any number of machines.

    Returns:
        Whether every check passed.
    """
    queue = f"replay_{uuid4().hex[:12]}"
    passed = True
    async with Powertools.open(dsn) as powertools:
        with tempfile.TemporaryDirectory() as directory, _workers(processes, queue, dsn):
            ledger = Path(directory, "ledger")
            click.echo(f"{'workflow':<45} {'steps':>6} {'edges':>6} {'seconds':>8} {'at least':>8} {'steps/s':>8}")
            for recording in recordings:
                workflow = build(recording, speed, queue, ledger)
                faults = await _replay_one(powertools, recording, workflow, speed, ledger)
                for fault in faults[:SHOWN_FAULTS]:
                    click.echo(f"error: {recording.name}: {fault}", err=True)
                passed = passed and not faults
    return passed


async def _replay_one(
    powertools: Powertools, recording: Recording, workflow: Workflow, speed: float, ledger: Path
) -> list[str]:
    """Returns: what is wrong."""
    at_least = scaled(recording.longest_path(), speed)
    handle = await powertools.workflows.insert(workflow)
    record = await handle.wait(timedelta(seconds=at_least) + BEYOND_THE_LONGEST_PATH)
    assert record.finished_at is not None
    # On the database's clock, from the start of the insert's transaction to that of the last acknowledgement.
    seconds = (record.finished_at - record.inserted_at).total_seconds()
    click.echo(
        f"{recording.name:<45} {len(recording.tasks):>6} {recording.edges:>6} {seconds:>8.3f} {at_least:>8.3f} "
        f"{len(recording.tasks) / seconds:>8.1f}"
    )
    if record.state is not WorkflowState.COMPLETED:
        return [f"workflow {record.id} ended as {record.state}, failed steps: {', '.join(record.failed_steps)}"]
    entries = [entry for entry in Ledger.read(ledger) if entry.workflow_id == record.id]
    return find_faults(recording, entries, await powertools.workflows.results(record.id))


@contextmanager
def _workers(processes: int, queue: str, dsn: str | None) -> Iterator[None]:
    """Worker processes that are ready; they end when the pipe to them does, also when this process is killed."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.replay_task", queue],
            env={**os.environ, "PYTHONPATH": path, **({"OBAN_DSN": dsn} if dsn else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process to handle
        )
        for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise ReplayError("a worker process did not start")
        yield
    finally:
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
        for process in started:
            try:
                process.wait(STOP_WITHIN.total_seconds())
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _read_all(files: Sequence[Path]) -> list[Recording]:
    """All files, or an error line for each malformed one and the end."""
    recordings: list[Recording] = []
    for file in files:
        try:
            recordings.append(read(file))
        except MalformedError as error:
            click.echo(f"error: {file}: {error}", err=True)
    if len(recordings) < len(files):
        sys.exit(2)
    return recordings


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    help="Times faster than recorded; 0 leaves out the run times.",
)
@click.option(
    "--dsn",
    envvar="OBAN_DSN",
    show_envvar=True,
    help="A database with Powertools installed.  [default: the embedded PostgreSQL]",
)
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
def main(files: tuple[Path, ...], speed: float, dsn: str | None, processes: int) -> None:
    """Replay recorded workflows (WfFormat 1.5) and check what ran."""
    if not math.isfinite(speed):
        raise click.BadParameter("expected a finite number", param_hint="--speed")
    recordings = _read_all(files)
    try:
        passed = asyncio.run(replay(recordings, speed, dsn, processes))
    except (PowertoolsError, ReplayError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if not passed:
        sys.exit(1)
    click.echo("Every task ran once, after its parents, and had their results.")


if __name__ == "__main__":
    main()
