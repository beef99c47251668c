"""``workflow export``: a whole workflow in a file, for a test."""

from pathlib import Path

import click
import orjson

from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .output import note, print_json, say_lines
from .target import Database, answering


@click.command(epilog=examples("powertools workflow export 41 --file tests/incident-41.json"))
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.option("--file", metavar="FILE", help="Write it into this file instead of stdout.")
@answering
async def export(target: Database, *, workflow_id: int, file: str | None, form: Form) -> int:
    """Export a workflow with everything nested in it, as the display policy shows it, to bring it back in a test."""
    async with target.snapshot() as calls:
        exported = await calls.workflows.export(str(workflow_id))
    text = orjson.dumps(exported, option=orjson.OPT_INDENT_2).decode()
    if file is not None:
        _write(Path(file), text)
    if form.is_json:
        # As text: in the answers of commands ids are text, and in the document they are what the database has.
        print_json({"workflow_id": workflow_id, "file": file, "export": text if file is None else None}, form)
    elif file is None:
        say_lines(text)
    else:
        note(f"exported into {file}: workflow_runner.load({file!r}) brings it back in a test")
    return Exit.DONE


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"it cannot be written ({error.strerror})", param_hint="--file") from error
