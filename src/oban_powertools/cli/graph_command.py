"""``workflow graph``: draw a workflow, as text or as a picture."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from ..calls import Calls
from ..graph.alone import draw_alone
from ..graph.place import Direction, Size, place
from ..graph.reading import find_key, read_causes, read_drawn_steps
from ..graph.steps import Step
from ..graph.svg import Surroundings
from ..graph.view import Choice, Graph, choose
from ..plural import counted
from ..states import OperatorStatus, WorkflowId
from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .output import note, print_json, say_lines
from .target import Database, answering

_AROUND: Final = 2
"""Edges up and down from a focus that are drawn unless another number is given."""


@click.command(
    epilog=examples(
        "powertools workflow graph 41 --format dot | dot -Tsvg > 41.svg",
        "powertools workflow graph 41 --svg 41.svg",
        "powertools workflow graph 41 --svg near.svg --focus notify --up 3 --down 1",
    )
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.option(
    "--format",
    "language",
    type=click.Choice(["mermaid", "dot"]),
    default="mermaid",
    show_default=True,
    help="Language.",
)
@click.option("--svg", metavar="FILE", help="Draw a picture into this file instead; - for stdout.")
@click.option("--focus", metavar="STEP", help="Only what is around this step, with the path to its root causes.")
@click.option("--up", type=click.IntRange(0), metavar="N", help="Edges up from the focus.  [default: 2]")
@click.option("--down", type=click.IntRange(0), metavar="N", help="Edges down from the focus.  [default: 2]")
@click.option("--fold/--no-fold", default=True, show_default=True, help="Draw equal siblings as one box.")
@click.option("--open", "opened", multiple=True, metavar="STEP", help="Open this step's box; may be repeated.")
@click.option("--hide-finished", is_flag=True, help="Leave out steps that have finished.")
@click.option(
    "--direction",
    type=click.Choice(["tb", "lr"]),
    default="tb",
    show_default=True,
    help="Top to bottom, or left to right.",
)
@click.option("--size", type=click.Choice(["s", "m", "l"]), default="m", show_default=True, help="How much a box says.")
@answering
async def graph(target: Database, *, workflow_id: int, language: str, svg: str | None, form: Form, **look: Any) -> int:
    """Draw a workflow with its states, as text for Mermaid or Graphviz, or as a picture in SVG."""
    key = WorkflowId(workflow_id)
    _refuse_look_without_svg(svg)
    async with target.snapshot() as calls:
        if svg is not None:
            language, drawing = "svg", await _picture(calls, key, **look)
        else:
            drawing = await (calls.workflows.to_dot if language == "dot" else calls.workflows.to_mermaid)(key)
    if form.is_json:
        print_json({"workflow_id": workflow_id, "format": language, "graph": drawing}, form)
    elif svg in (None, "-"):
        say_lines(drawing.rstrip("\n"))
    else:
        _write(Path(svg), drawing)
    return Exit.DONE


def _refuse_look_without_svg(svg: str | None) -> None:
    """The options of a picture do nothing for text: whoever gives one of them means a picture."""
    ctx = click.get_current_context()
    looks = ("focus", "up", "down", "fold", "opened", "hide_finished", "direction", "size")
    given = [name for name in looks if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if svg is None and given:
        raise click.UsageError(f"--{given[0].replace('opened', 'open').replace('_', '-')} needs --svg FILE")
    if not {"up", "down"}.isdisjoint(given) and "focus" not in given:
        raise click.UsageError("--up and --down need --focus STEP")


async def _picture(
    calls: Calls,
    workflow_id: WorkflowId,
    *,
    focus: str | None,
    up: int | None,
    down: int | None,
    fold: bool,
    opened: tuple[str, ...],
    hide_finished: bool,
    direction: str,
    size: str,
) -> str:
    workflow = await calls.workflows.get(workflow_id)
    steps = await read_drawn_steps(calls, workflow_id, opened)
    choice = Choice(fold=fold, opened=frozenset(find_key(steps, name) for name in opened), hide_finished=hide_finished)
    if focus is not None:
        key = find_key(steps, focus)
        up, down = (_AROUND if edges is None else edges for edges in (up, down))
        choice = replace(choice, focus=key, up=up, down=down, causes=await read_causes(calls, key))
    shown = choose(steps, choice)
    picture = place(shown, size=Size(size), direction=Direction(direction))
    return draw_alone(picture, Surroundings(title=f"{workflow.name} {workflow_id}", description=_summary(steps, shown)))


def _summary(steps: Sequence[Step], shown: Graph) -> str:
    """What is seen: boxes, steps, and how many of each word."""
    words = Counter(step.status for step in steps)
    parts = [f"{words[word]:,} {word}" for word in OperatorStatus if words[word]]
    hidden = f"; {counted(shown.hidden, 'step')} not shown" if shown.hidden else ""
    return f"{counted(len(steps), 'step')}: {', '.join(parts)}{hidden}"


def _write(path: Path, drawing: str) -> None:
    try:
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"it cannot be written ({error.strerror})", param_hint="--svg") from error
    note(f"drawn into {path}")
