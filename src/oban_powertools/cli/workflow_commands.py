"""``workflow show`` and ``explain``: read workflows from the command line.

The commands of this file run in a read-only transaction.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import click
import orjson

from ..errors import StepNotFoundError
from ..explain import StepExplanation
from ..privacy.apply_display import apply_display, apply_display_to_result
from ..spelling import did_you_mean
from ..states import OperatorStatus, StepState, WorkflowId
from ..workflows.reads import MAX_PAGE
from ..workflows.records import StepPage, StepRecord
from .change_commands import cancel, hold, list_commands, recover, release
from .exits import Exit
from .explain_text import print_step, print_workflow
from .export_command import export
from .forms import Form
from .graph_command import graph
from .groups import Group, examples
from .ids import parse_id
from .importing import check_import_option
from .next_commands import command_line
from .output import note, print_block, print_facts, print_json, print_next, print_table, say
from .reveal_commands import reveal_of_workflow
from .target import Database, answering
from .workflow_history import history
from .workflow_list import list_workflows
from .workflow_text import (
    error_text,
    is_hindered,
    step_facts,
    step_json,
    steps_table,
    workflow_facts,
)


@click.group(cls=Group)
def workflow() -> None:
    """See workflows, and change them."""


for _command in (
    list_workflows,
    history,
    cancel,
    recover,
    hold,
    release,
    list_commands,
    graph,
    export,
    reveal_of_workflow,
):
    workflow.add_command(_command)


_WORDS: Final = click.Choice([word.value for word in OperatorStatus], case_sensitive=False)


@workflow.command(
    "show",
    epilog=examples(
        "powertools workflow show 41",
        "powertools workflow show 41 --word blocked",
        "powertools workflow show 41 --step sync_billing",
    ),
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.option("--step", "step_name", metavar="NAME", help="One step in detail, with its args, result and error.")
@click.option("--results", is_flag=True, help="The results of all completed steps.")
@click.option("--state", type=click.Choice([state.value for state in StepState]), help="Only steps in this state.")
@click.option("--word", "status", type=_WORDS, metavar="WORD", help="Only steps with this word, such as blocked.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), help="At most so many steps.  [default: 50; in JSON all of them]"
)
@click.option("--after", metavar="PLACE", help="Only the steps after this place: the next page.")
@answering
async def show(
    target: Database,
    *,
    workflow_id: int,
    step_name: str | None,
    results: bool,
    limit: int | None,
    after: str | None,
    state: str | None,
    status: str | None,
    form: Form,
) -> int:
    """Show one workflow and its steps, those that failed first.

    Args and results appear only with --step and --results, without what looks secret.
    """
    # a program gets them by position, as ever
    only: Any = {"state": state, "status": status, "failed_first": not form.is_json, "payloads": False}
    chooses = any(option is not None for option in (state, status, limit, after))
    if (step_name is not None) + results + chooses > 1:
        raise click.UsageError("--step, --results and what chooses steps exclude each other")
    key = WorkflowId(workflow_id)
    async with target.snapshot() as calls:
        if results:
            by_step = (await calls.workflows.results(key)).items()
            visible = {name: apply_display_to_result(target.display, result) for name, result in by_step}
            return _print_results(key, visible, form)
        if step_name is not None:
            page = await calls.workflows.list_steps(key, step=step_name)
            if not page.steps:
                names = [step.name for step in await calls.workflows.outline(key)]
                raise StepNotFoundError(key, step_name, did_you_mean(step_name, names))
            return _print_step(apply_display(target.display, page.steps[0]), page.parents, form)
        record = apply_display(target.display, await calls.workflows.get(key))
        callbacks = [apply_display(target.display, callback) for callback in await calls.workflows.callbacks(key)]
        page = await calls.workflows.list_steps(
            key, **only, after=after, limit=limit or (MAX_PAGE if form.is_json else 50)
        )
        while form.is_json and limit is None and page.next_after:
            more = await calls.workflows.list_steps(key, **only, after=page.next_after, limit=MAX_PAGE)
            page = _joined(page, more)
    steps = [apply_display(target.display, step) for step in page.steps]
    if form.is_json:
        answer = {
            "workflow": record,
            "steps": [step_json(step, detail=False) for step in steps],
            "callbacks": callbacks,
            "next_after": page.next_after,
        }
        print_json(answer, form)
        return Exit.DONE
    print_facts(workflow_facts(record, callbacks))
    if steps:
        say()
        print_table(steps_table(page.parents), steps)
    else:
        note("no step matches")
    if page.next_after:
        note(f"more: --after {page.next_after}")
    if is_hindered(record):
        print_next(command_line("workflow", "explain", key))
    return Exit.DONE


def _joined(page: StepPage, more: StepPage) -> StepPage:
    return replace(more, steps=(*page.steps, *more.steps), parents={**page.parents, **more.parents})


@workflow.command(
    "explain", epilog=examples("powertools workflow explain 41", "powertools workflow explain 41 sync_billing")
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.argument("step", required=False, metavar="[STEP]")
@check_import_option
@answering
async def explain(target: Database, *, workflow_id: int, step: str | None, check_import: bool, form: Form) -> int:
    """Explain the state of a workflow or of one of its steps.

    Computed live: what it waits for, the root causes, what may be done.
    """
    if step is None and check_import:
        raise click.UsageError("--check-import needs a STEP")
    async with target.calls() as calls:
        if step is None:
            explanation = await calls.explain.workflow(WorkflowId(workflow_id))
        else:
            explanation = await calls.explain.workflow_step(WorkflowId(workflow_id), step, check_import=check_import)
    if form.is_json:
        print_json({"explanation": explanation}, form)
    elif isinstance(explanation, StepExplanation):
        print_step(explanation)
    else:
        print_workflow(explanation)
    return Exit.DONE


def _print_step(step: StepRecord, states: Mapping[str, StepState], form: Form) -> int:
    if form.is_json:
        print_json({"step": step_json(step, detail=True)}, form)
        return Exit.DONE
    print_facts(step_facts(step, states))
    print_block("error", error_text(step))
    print_block("args", _indented(step.args))
    if step.has_result:
        print_block("result", _indented(step.result))
    return Exit.DONE


def _print_results(workflow_id: WorkflowId, results: dict[str, Any], form: Form) -> int:
    if form.is_json:
        print_json({"workflow_id": workflow_id, "results": results}, form)
        return Exit.DONE
    for name, result in results.items():
        print_block(name, _indented(result))
    if not results:
        note("no step has completed")
    return Exit.DONE


def _indented(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
