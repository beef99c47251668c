"""``job explain``: explain any Oban job, a step's or a plain one."""

import click

from ..states import JobId
from .exits import Exit
from .explain_text import print_job
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .importing import check_import_option
from .output import print_json
from .target import Target, answering


@click.group(cls=Group)
def job() -> None:
    """See jobs, of steps or plain; changes nothing."""


@job.command("explain", epilog=examples("powertools job explain 8123"))
@click.argument("job_id", callback=parse_id, metavar="ID")
@check_import_option
@answering
async def explain(target: Target, *, job_id: int, check_import: bool, form: Form) -> int:
    """Explain a job's state: what it waits for, or how it ended."""
    async with target.calls() as calls:
        explanation = await calls.explain.job(JobId(job_id), check_import=check_import)
    if form.is_json:
        print_json({"explanation": explanation}, form)
    else:
        print_job(explanation)
    return Exit.DONE
