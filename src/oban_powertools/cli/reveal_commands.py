"""``job reveal`` and ``workflow reveal``: one value as it is stored, for whoever may see it and says why.

The rule that must never break: only the value itself goes to stdout, and only after its record was committed.
"""

from typing import Final

import click
import orjson

from ..acts import TargetType
from ..operators.authorization import Authorize
from ..operators.revealing import VALUES_OF, Revealed
from ..states import JobId, WorkflowId
from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .output import note, print_json, say_json, say_lines
from .target import Database, answering
from .values import accounted

_OF_WORKFLOWS: Final = (*VALUES_OF[TargetType.WORKFLOW], *VALUES_OF[TargetType.STEP])


@click.command("reveal", epilog=examples("powertools job reveal 8123 --what args --reason 'ticket 5512'"))
@click.argument("job_id", callback=parse_id, metavar="ID")
@click.option(
    "--what",
    type=click.Choice([each.value for each in VALUES_OF[TargetType.JOB]]),
    required=True,
    help="Which of its values; of its errors the last.",
)
@accounted
@answering
async def reveal_of_job(
    target: Database, *, job_id: int, what: str, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Show one value of a job as it is stored; the audit keeps who saw it.

    Whatever else shows a value hides what looks secret in it.
    """
    async with target.calls(authorize) as calls:
        revealed = await calls.jobs.reveal(JobId(job_id), what=what, actor=actor, reason=reason, source="cli")
    return _print(revealed, form)


@click.command(
    "reveal",
    epilog=examples(
        "powertools workflow reveal 41 --what context --reason 'ticket 5512'",
        "powertools workflow reveal 41 bill --what result --reason 'ticket 5512'",
    ),
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.argument("step", required=False, metavar="[STEP]")
@click.option(
    "--what",
    type=click.Choice([each.value for each in _OF_WORKFLOWS]),
    required=True,
    help="The context of the workflow; args, result or error of a step.",
)
@accounted
@answering
async def reveal_of_workflow(
    target: Database,
    *,
    workflow_id: int,
    step: str | None,
    what: str,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Show one value of a workflow or a step as it is stored; the audit keeps who saw it.

    Whatever else shows a value hides what looks secret in it.
    """
    async with target.calls(authorize) as calls:
        revealed = await calls.workflows.reveal(
            WorkflowId(workflow_id), step, what=what, actor=actor, reason=reason, source="cli"
        )
    return _print(revealed, form)


def _print(revealed: Revealed, form: Form) -> int:
    if form.is_json:
        print_json({"revealed": revealed}, form)
        return Exit.DONE
    if isinstance(revealed.value, str):
        say_lines(revealed.value)
    else:
        say_json(orjson.dumps(revealed.value, option=orjson.OPT_INDENT_2).decode())
    note(f"{revealed.what} of {revealed.target}; recorded: powertools audit show {revealed.audit_id}")
    return Exit.DONE
