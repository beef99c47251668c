"""``workflow history``: everything that happened to a workflow in one timeline, waiting told apart from working."""

from datetime import datetime, timedelta
from typing import Final

import click

from ..plural import counted
from ..states import HistoryKind, StepPhase, WorkflowId
from ..times import duration, instant
from ..workflows.history import History, HistoryEntry, StepTimes
from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .output import note, print_facts, print_list, print_table, say
from .rescue_text import BECAME
from .tables import Column, Table
from .target import Database, answering

_WAITS: Final = {
    StepPhase.DEPENDENCIES: "waits for others",
    StepPhase.TIME: "waits until due",
    StepPhase.QUEUE: "waits in queue",
    StepPhase.SIGNAL: "waits for signal",
    StepPhase.WORK: "works",
    StepPhase.RESCUE: "waits for rescue",
    StepPhase.RETRY: "waits for retry",
}


_CHANGES: Final = {"lost": "executor gone"}


def _what(entry: HistoryEntry) -> str:
    about = "" if entry.kind in (HistoryKind.STEP, HistoryKind.WORKFLOW) else f"{entry.kind.replace('_', ' ')} "
    run = f", run {entry.generation}" if entry.change == "started" and (entry.generation or 1) > 1 else ""
    attempt = f", attempt {entry.attempt}" if entry.change == "started" or entry.kind is HistoryKind.RESCUE else ""
    outcome = f" {entry.outcome}" if entry.outcome not in (None, "executed") else ""
    change = BECAME.get(entry.change) if entry.kind is HistoryKind.RESCUE else _CHANGES.get(entry.change)
    return f"{about}{change or entry.change.replace('_', ' ')}{run}{attempt}{outcome}"


def _then(entry: HistoryEntry) -> str:
    if entry.lasts_for is None:
        return ""
    went_on = duration(entry.lasts_for) + (" so far" if entry.goes_on else "")
    return f"{_WAITS[entry.phase]} {went_on}" if entry.phase else went_on


def _more(entry: HistoryEntry) -> list[str]:
    detail = entry.detail
    signal = f"{detail['signal']} with key {detail['correlation_key']}" if entry.kind is HistoryKind.SIGNAL else ""
    incident = f"incident {detail['incident_id']}: {detail['title']}" if entry.kind is HistoryKind.INCIDENT else ""
    who = f"by {entry.actor}" if entry.actor else ""
    command = ": ".join(part for part in (who, entry.reason) if part)
    ran = f"on {entry.node}" if entry.node else ""
    return [sentence for sentence in (entry.error, signal, incident, command, ran) if sentence]


def _entries(began_at: datetime) -> Table[HistoryEntry]:
    """The timeline, each entry with how long after the insert of the workflow it came."""
    return Table(
        (
            Column("AFTER", lambda entry: _after(entry.at - began_at), number=True),
            Column("STEP", lambda entry: entry.step),
            Column("WHAT", _what),
            Column("THEN", _then),
        ),
        sentence=_more,
    )


def _after(span: timedelta) -> str:
    return "before" if span < timedelta(0) else duration(span)


def _span(span: timedelta) -> str:
    return duration(span) if span else ""


_TIMES: Final = Table[StepTimes](
    (
        Column("STEP", lambda times: times.step),
        Column("FOR OTHERS", lambda times: _span(times.dependencies_for), whole=True, spare=True),
        Column("UNTIL DUE", lambda times: _span(times.time_for), whole=True, spare=True),
        Column("IN QUEUE", lambda times: _span(times.queue_for), whole=True),
        Column("FOR SIGNAL", lambda times: _span(times.signal_for), whole=True),
        Column("FOR RESCUE", lambda times: _span(times.rescue_for), whole=True, spare=True),
        Column("FOR RETRY", lambda times: _span(times.retry_for), whole=True),
        Column("WORKED", lambda times: _span(times.work_for), whole=True),
        Column("NOW", lambda times: _WAITS[times.phase] if times.phase else ""),
    )
)


@click.command(
    "history",
    epilog=examples("powertools workflow history 41", "powertools workflow history 41 --step sync_billing"),
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.option("--step", metavar="NAME", help="Only what is about this step.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many entries.")
@click.option("--after", metavar="PLACE", help="Only what came after: the next page.")
@answering
async def history(
    target: Database, *, workflow_id: int, step: str | None, limit: int, after: str | None, form: Form
) -> int:
    """Tell what happened to a workflow, oldest first: attempts, commands, signals, rescues and incidents.

    Below, how each step spent its time: waiting told apart from working.
    """
    async with target.snapshot() as calls:
        page = await calls.workflows.history(WorkflowId(workflow_id), step=step, after=after, limit=limit)
    if not form.is_json:
        print_facts({"workflow": str(page.workflow_id), "inserted": instant(page.began_at)})
        say()
    print_list(
        form,
        "entries",
        page.entries,
        _entries(page.began_at),
        empty="nothing more happened",
        began_at=page.began_at,
        times=page.times,
        known_from=page.known_from,
        jobs_gone=page.jobs_gone,
        next_after=page.next_after,
    )
    if not form.is_json:
        _print_times(page)
    return Exit.DONE


def _print_times(page: History) -> None:
    if page.times:
        say()
        say("How long each step waited, and worked:")
        print_table(_TIMES, page.times)
    if page.known_from:
        note(f"events before {instant(page.known_from)} were removed: of a step without its events only the last run")
    if page.jobs_gone:
        note(f"the jobs of {counted(page.jobs_gone, 'step')} are gone: where their attempts ran is no longer known")
