"""``settings list`` and ``set``: the shared settings, rows of the database that every node reads.

The rule that must never break: nothing is changed without an actor and a reason.
"""

from typing import Final

import click

from ..config import SHARED, SharedKind, SharedValue
from ..operators.authorization import Authorize
from ..times import ago
from ..upkeep.settings import StoredSetting, say_below_floor, spell
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .output import note, print_json, print_list, say
from .tables import Column, Table
from .target import Database, answering
from .values import accounted, parse_duration, parse_json

_SETTINGS: Final = Table[StoredSetting](
    (
        Column("NAME", lambda setting: setting.name, whole=True),
        Column("VALUE", lambda setting: spell(setting.value), whole=True),
        Column("DEFAULT", lambda setting: "" if setting.value == setting.default else spell(setting.default)),
        Column("SET", lambda setting: ago(setting.changed_at), whole=True),
        Column("BY", lambda setting: setting.changed_by or ("a process" if setting.changed_at else "")),
    )
)


@click.group(cls=Group)
def settings() -> None:
    """See and change the settings that are equal on all nodes."""


@settings.command("list", epilog=examples("powertools settings list"))
@answering
async def list_(target: Database, *, form: Form) -> int:
    """List the settings that are rows of the database: who set each, and when."""
    async with target.calls() as calls:
        stored = await calls.shared_settings.list_settings()
    print_list(form, "settings", stored, _SETTINGS, empty="")
    for remark in dict.fromkeys(filter(None, (say_below_floor(each.name, stored) for each in stored))):
        note(remark)
    return Exit.DONE


def _parse(ctx: click.Context, param: click.Parameter, value: str) -> SharedValue:
    match SHARED[ctx.params["name"]].kind:
        case SharedKind.SPAN_OR_FOREVER if value == "forever":
            return None
        case SharedKind.SPAN | SharedKind.SPAN_OR_FOREVER:
            return parse_duration(ctx, param, value)
        case SharedKind.COUNT:
            return _parse_count(ctx, param, value)
        case SharedKind.RESCUE_MODES:
            return parse_json(ctx, param, value)


def _parse_count(ctx: click.Context, param: click.Parameter, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a whole number", ctx, param) from None


@settings.command(
    "set",
    epilog=examples(
        'powertools settings set incident_stuck_after 10m --reason "deploys take a while"',
        'powertools settings set retention.workflows 90d --reason "the auditors ask for it"',
        """powertools settings set rescue '{"payments": "operator"}' --reason "money never moves twice" """.rstrip(),
    ),
)
@click.argument("name", metavar="NAME", type=click.Choice([*SHARED]), is_eager=True)
@click.argument("value", metavar="VALUE", callback=_parse)
@accounted
@answering
async def set_(
    target: Database, *, name: str, value: SharedValue, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Set one for every process: 90s, 30m, 2h or 1d, forever for a class of records; a number; or JSON."""
    async with target.calls(authorize) as calls:
        setting = await calls.shared_settings.change(name, value, actor=actor, reason=reason, source="cli")
        remark = say_below_floor(name, await calls.shared_settings.list_settings())
    if form.is_json:
        print_json({"setting": setting}, form)
    else:
        say(f"{setting.name} is {spell(setting.value)} now")
    if remark:
        note(remark)
    return Exit.DONE
