"""``doctor`` and ``check``: is the database sound, and does the code about to be deployed fit the work under way?

The rule that must never break: a check that could not run never ends as a success.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

import click

from ..config import PAYLOAD_LIMIT
from ..database import Queries, Session
from ..plural import counted
from ..privacy.apply_display import apply_display
from ..upkeep.deploy_check import check_deploy
from ..upkeep.doctor import Finding, Level, Report, examine
from .exits import Exit
from .forms import Form
from .groups import examples
from .importing import import_from_here, import_modules
from .next_commands import command_line
from .output import Styled, note, print_json, say
from .start_command import queues_option
from .target import Database, answering

_BESIDE: Final = 3
"""Subjects on one line; more of them have one each."""

_COMMAND: Final = re.compile(r"(.*: )?powertools [^,;]+")
"""What is to be done that ends with a command of ours, which needs the options that named the database."""

_COLORS = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTE: None}


@click.command(epilog=examples("powertools doctor", "powertools doctor --deep --json"))
@click.option("--deep", is_flag=True, help="Compare every workflow with the invariants; reads everything.")
@click.option("--notes", is_flag=True, help="Show what is only good to know too.")
@answering
async def doctor(target: Database, *, deep: bool, notes: bool, form: Form) -> int:
    """Examine the database and its configuration; changes nothing.

    Exit code 0 when all is well, 6 with findings, 2 when something could not be checked.
    """
    async with target.connection() as conn:
        report = apply_display(target.display, await examine(Session(conn, Queries(target.names)), deep=deep))
    if form.is_json:
        print_json(
            {
                "sound": report.sound,
                "checks": report.checks,
                "findings": report.findings,
                "notes": report.notes,
                "broken": report.broken,
            },
            form,
        )
    else:
        _print(report, notes)
    if report.broken:
        return Exit.USAGE
    return Exit.FINDINGS if report.findings else Exit.DONE


def _print(report: Report, notes: bool) -> None:
    print_findings([*report.findings, *(report.notes if notes else ())])
    for broken in report.broken:
        note(f"could not be checked: {broken.check}: {broken.error}")
    count = len(report.checks) - len(report.broken)
    hidden = " (--notes shows them)" if report.notes and not notes else ""
    say(
        f"{counted(count, 'check')} made, {len(report.broken)} could not be made; "
        f"{counted(len(report.findings), 'finding')}, {counted(len(report.notes), 'note')}{hidden}"
    )


@click.command(epilog=examples("powertools check --import myapp.workers --queues default:20,mail:5"))
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module first, as powertools start would. May be repeated.",
)
@queues_option
@click.option(
    "--payload-limit",
    type=click.IntRange(min=1),
    default=PAYLOAD_LIMIT,
    show_default=True,
    metavar="BYTES",
    help="Settings.payload_limit of the code that is about to ship.",
)
@answering
async def check(
    target: Database, *, modules: Sequence[str], queues: dict[str, int], payload_limit: int, form: Form
) -> int:
    """Compare the work under way with the code about to be deployed; changes nothing.

    Run it with the new code on the path, against the live database. It imports the workers that rows name, as an
    executor would. Queues are compared when --queues or oban.toml name any. Exit code 6 when something does not fit.
    """
    import_from_here()
    import_modules(modules)
    all_queues = {*target.config.queues, *queues}
    async with target.connection() as conn:
        await target.check(conn)
        checked = await check_deploy(
            Session(conn, Queries(target.names)), queues=all_queues or None, payload_limit=payload_limit
        )
    checked = apply_display(target.display, checked)
    if form.is_json:
        print_json({"workers": checked.workers, "steps": checked.steps, "findings": checked.findings}, form)
    else:
        print_findings(checked.findings)
        compared = f"{counted(checked.steps, 'step or job', 'steps and jobs')} of {counted(checked.workers, 'worker')}"
        say(f"{compared} compared; {counted(len(checked.findings), 'finding')}")
    return Exit.FINDINGS if checked.findings else Exit.DONE


def print_findings(findings: Sequence[Finding]) -> None:
    """Print findings, those of one cause together: what is to be done below it, once for all that share it."""
    for (check, level, expected), group in _grouped(findings, lambda each: (each.check, each.level, each.expected)):
        kinds = _grouped(group, lambda each: each.found)
        apart = len(kinds) > 1 and len({each.todo for each in group}) > 1
        for found, alike in kinds:
            beside = alike if len(alike) <= _BESIDE else ()
            subjects = ", ".join(each.subject for each in beside) or f"{len(alike)} of them"
            say(Styled(click.style(level, fg=_COLORS[level])), f" [{check}] {subjects}: {found}")
            for each in () if beside else alike:
                say(f"    {each.subject}")
            _print_todos(alike if apart else ())
        say(f"  expected: {expected}")
        _print_todos(() if apart else group)


def _print_todos(findings: Sequence[Finding]) -> None:
    for todo in dict.fromkeys(each.todo for each in findings):
        options = command_line().removeprefix("powertools") if _COMMAND.fullmatch(todo) else ""
        say(f"  to do:    {todo}{options}")


def _grouped[K](findings: Sequence[Finding], key: Callable[[Finding], K]) -> Collection[tuple[K, list[Finding]]]:
    """The findings by what they share, in the order of the first of each."""
    groups: dict[K, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(key(finding), []).append(finding)
    return groups.items()
