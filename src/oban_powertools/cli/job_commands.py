"""``job list``, ``explain`` and ``reveal``: find, explain and reveal any Oban job, a step's or a plain one."""

from datetime import datetime
from typing import Final

import click

from ..states import JobId, JobState, OperatorStatus
from ..times import ago
from ..upkeep.jobs import JobRecord
from .exits import Exit
from .explain_text import print_job
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .importing import check_import_option
from .next_commands import command_line, find_worst
from .output import note, print_json, print_list
from .reveal_commands import reveal_of_job
from .tables import Column, Table
from .target import Database, answering
from .text import state_beside
from .values import parse_instant


def _sentences(job: JobRecord) -> list[str]:
    step = f"{job.step} of workflow {job.workflow_id}" if job.step else ""
    blocker = (job.blocker or "").replace("_", " ")
    failure = job.error if job.error and job.state is not JobState.COMPLETED else ""
    return [sentence for sentence in (": ".join(part for part in (step, blocker) if part), failure) if sentence]


_JOBS: Final = Table[JobRecord](
    (
        Column("STATUS", lambda job: job.status, whole=True),
        Column("ID", lambda job: job.id, whole=True),
        Column("STATE", lambda job: state_beside(job.status, job.state), whole=True, else_=lambda job: job.state),
        Column("QUEUE", lambda job: job.queue),
        Column("WORKER", lambda job: job.worker, end=True),
        Column("ATTEMPT", lambda job: f"{job.attempt}/{job.max_attempts}", whole=True),
        Column("INSERTED", lambda job: ago(job.inserted_at), whole=True),
        Column("TAGS", lambda job: ", ".join(job.tags), spare=True),
    ),
    sentence=_sentences,
)


_WORDS: Final = click.Choice([word.value for word in OperatorStatus], case_sensitive=False)


@click.group(cls=Group)
def job() -> None:
    """See jobs, of steps or plain; changes nothing."""


job.add_command(reveal_of_job)


@job.command(
    "list",
    epilog=examples(
        "powertools job list --status 'needs review'",
        "powertools job list --state retryable",
        "powertools job list --queue billing --error timeout",
        "powertools job list --worker myapp.workers.Bill --since 2026-11-21",
    ),
)
@click.option("--status", type=_WORDS, metavar="WORD", help="Only with this word, such as 'needs review'.")
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only in this state.")
@click.option("--queue", help="Only of this queue.")
@click.option("--worker", help="Only of this worker, as in myapp.workers.Bill.")
@click.option("--tag", help="Only with this tag.")
@click.option("--error", metavar="WORDS", help="Only with these words in the last error.")
@click.option("--since", callback=parse_instant, metavar="INSTANT", help="Inserted from then on.")
@click.option("--until", callback=parse_instant, metavar="INSTANT", help="Inserted before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", callback=parse_id, metavar="ID", help="Only older than this job: the next page.")
@answering
async def list_jobs(
    target: Database,
    *,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    before: int | None,
    form: Form,
    **only: str | None,
) -> int:
    """List jobs, of steps or plain, that fit everything that is given, newest first.

    A step's job leads with the word of its step.
    """
    async with target.snapshot() as calls:
        page = await calls.jobs.list(
            **only, inserted_from=since, inserted_to=until, before=JobId(before) if before else None, limit=limit
        )
    worst = find_worst(page.jobs)
    then = [command_line("job", "explain", worst.id)] if worst else []
    print_list(
        form,
        "jobs",
        page.jobs,
        _JOBS,
        empty="no job matches",
        then=then,
        searched=page.searched,
        next_before=page.next_before,
    )
    if page.searched and not form.is_json:
        note(f"searched the newest {page.searched:,} of them")
    return Exit.DONE


@job.command("explain", epilog=examples("powertools job explain 8123"))
@click.argument("job_id", callback=parse_id, metavar="ID")
@check_import_option
@answering
async def explain(target: Database, *, job_id: int, check_import: bool, form: Form) -> int:
    """Explain a job's state: what it waits for, or how it ended."""
    async with target.calls() as calls:
        explanation = await calls.explain.job(JobId(job_id), check_import=check_import)
    if form.is_json:
        print_json({"explanation": explanation}, form)
    else:
        print_job(explanation)
    return Exit.DONE
