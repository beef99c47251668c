"""``repair list``: previews of everybody, those that can still be executed with what has become of their rows."""

from typing import Final

import click

from ..acts import REPAIRS
from ..lifeline.repairs import ListedPreview, PreviewStatus
from ..times import ago
from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .next_commands import command_line
from .output import print_list
from .tables import Column, Table
from .target import Database, answering


def _say(preview: ListedPreview) -> list[str]:
    """What keeps it from being executed, and what to consider before."""
    sentences = ["changed since it was previewed"] if preview.has_changed else []
    sentences += ["waits for a second person to approve it"] if preview.awaits_approval else []
    sentences += [f"approved by {preview.approved_by}"] if preview.approved_by else []
    return sentences + [f"warning: {warning}" for warning in preview.warnings if _is_open(preview)]


def _is_open(preview: ListedPreview) -> bool:
    return preview.status is PreviewStatus.READY


PREVIEWS: Final = Table[ListedPreview](
    (
        Column("STATUS", lambda preview: preview.status, whole=True),
        Column("ID", lambda preview: preview.id, whole=True),
        Column("REPAIR", lambda preview: preview.action, whole=True),
        Column("TARGET", lambda preview: f"{preview.target_type.replace('_', ' ')} {preview.target_id}"),
        Column("ROWS", lambda preview: preview.total_changes, number=True, spare=True),
        Column("WHO", lambda preview: preview.actor_id),
        Column("EXPIRES", lambda preview: ago(preview.expires_at) if _is_open(preview) else "", whole=True),
    ),
    sentence=_say,
)


@click.command(
    "list", epilog=examples("powertools repair list", "powertools repair list --status consumed --actor ada")
)
@click.option("--status", type=click.Choice([each.value for each in PreviewStatus]), help="Only with this status.")
@click.option("--actor", metavar="ACTOR", help="Only of this actor.")
@click.option("--repair", "action", type=click.Choice(REPAIRS), metavar="ACTION", help="Only of this repair.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", callback=parse_id, metavar="ID", help="Only older than this preview: the next page.")
@answering
async def list_previews(
    target: Database,
    *,
    status: str | None,
    actor: str | None,
    action: str | None,
    limit: int,
    before: int | None,
    form: Form,
) -> int:
    """List previews of repairs, newest first, without their tokens."""
    async with target.calls() as calls:
        previews = await calls.lifeline.list_previews(
            status=status, actor=actor, action=action, before=before, limit=limit
        )
    asked = status or actor or action or before
    print_list(
        form,
        "previews",
        previews,
        PREVIEWS,
        empty="no preview matches" if asked else "no preview yet",
        limit=limit,
        then=_next_commands(previews),
    )
    return Exit.DONE


def _next_commands(previews: list[ListedPreview]) -> list[str]:
    """What shows the one that waits for somebody, else the newest that can be executed."""
    waiting = [preview for preview in previews if preview.awaits_approval]
    shown = [*waiting, *filter(_is_open, previews)][:1]
    then = [command_line("repair", "show", preview.id) for preview in shown]
    return then + [
        command_line("repair", "approve", preview.id, acts=True, reason=True) for preview in shown if waiting
    ]
