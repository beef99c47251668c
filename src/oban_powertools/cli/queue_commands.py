"""``queues list`` and ``show``, ``queue pause``, ``resume`` and ``scale``: who serves a queue, and what waits in it."""

from typing import Any

import click

from ..operators.authorization import Authorize
from ..upkeep.queues import Queue
from .exits import Exit
from .groups import Group, examples
from .output import print_facts, print_json, print_table, say
from .target import Target, answering
from .text import ago, counted
from .values import accounted

_node = click.option("--node", metavar="NODE", help="Only the executors of this node.  [default: all]")


@click.group(cls=Group)
def queues() -> None:
    """Look at queues; changes nothing."""


@click.group(cls=Group)
def queue() -> None:
    """Pause, resume and scale a queue, by Oban's own signals."""


@queues.command("list", epilog=examples("powertools queues list"))
@answering
async def list_(target: Target, *, as_json: bool) -> int:
    """List the queues that somebody serves, or that have jobs which have not ended."""
    async with target.snapshot() as calls:
        found = await calls.queues.list()
    if as_json:
        print_json({"queues": found})
    else:
        headers = ("STATUS", "QUEUE", "AVAILABLE", "LATER", "RUNNING", "OLDEST DUE", "EXECUTORS")
        print_table(headers, [_row(each) for each in found])
    return Exit.DONE


@queues.command("show", epilog=examples("powertools queues show default"))
@click.argument("name", metavar="QUEUE")
@answering
async def show(target: Target, *, name: str, as_json: bool) -> int:
    """Show one queue: who serves it, and who holds its places."""
    async with target.snapshot() as calls:
        found = await calls.queues.get(name)
    if as_json:
        print_json({"queue": found})
        return Exit.DONE
    print_facts(_facts(found))
    if found.producers:
        say()
        producers = [
            (each.node, "paused" if each.paused else "", f"{each.running}/{_places(each.places)}", ago(each.started_at))
            for each in found.producers
        ]
        print_table(("NODE", "PAUSED", "RUNNING", "STARTED"), producers)
    if found.holders:
        say()
        holders = [
            (
                str(each.job_id),
                f"{each.workflow_id or ''} {each.step or each.worker}".strip(),
                each.node or "",
                ago(each.since),
            )
            for each in found.holders
        ]
        print_table(("JOB", "RUNS", "NODE", "SINCE"), holders)
    return Exit.DONE


@queue.command(epilog=examples("powertools queue pause billing --reason 'billing is down'"))
@click.argument("name", metavar="QUEUE")
@_node
@accounted
@answering
async def pause(target: Target, *, name: str, **given: Any) -> int:
    """Tell the executors of a queue to take no more jobs; what runs goes on."""
    return await _tell(target, "pause", name, "paused", **given)


@queue.command(epilog=examples("powertools queue resume billing --reason 'billing is back'"))
@click.argument("name", metavar="QUEUE")
@_node
@accounted
@answering
async def resume(target: Target, *, name: str, **given: Any) -> int:
    """Tell them to take jobs again."""
    return await _tell(target, "resume", name, "resumed", **given)


@queue.command(epilog=examples("powertools queue scale billing 5 --reason 'billing asks for less'"))
@click.argument("name", metavar="QUEUE")
@click.argument("limit", type=click.IntRange(1), metavar="LIMIT")
@_node
@accounted
@answering
async def scale(target: Target, *, name: str, limit: int, **given: Any) -> int:
    """Tell each of them how many jobs it may run at once, until it is started anew."""
    return await _tell(target, "scale", name, f"scaled to {limit} each", limit=limit, **given)


async def _tell(
    target: Target,
    call: str,
    name: str,
    done: str,
    *,
    node: str | None,
    actor: str,
    reason: str,
    authorize: Authorize,
    as_json: bool,
    **options: int,
) -> int:
    async with target.calls(authorize) as calls:
        tell = getattr(calls.queues, call)
        told = await tell(name, node=node, actor=actor, reason=reason, source="cli", **options)
    if as_json:
        print_json({"queue": name, "node": node, "told": told})
    else:
        say(f"{counted(told, 'executor')} of queue {name} told: {done}")
        say(f"powertools queues show {name}")
    return Exit.DONE


def _row(each: Queue) -> tuple[str, ...]:
    return (
        each.status,
        each.name,
        _many(each.available),
        _many(each.scheduled + each.retryable),
        f"{each.running}/{_places(each.places)}",
        ago(each.oldest_due_at),
        _executors(each),
    )


def _facts(each: Queue) -> dict[str, str]:
    return {
        "queue": each.name,
        "status": each.status,
        "available": _many(each.available),
        "scheduled": _many(each.scheduled),
        "retryable": _many(each.retryable),
        "executing": _many(each.executing),
        "oldest due": ago(each.oldest_due_at),
        "executors": _executors(each),
        "places": f"{each.running} of {_places(each.places)} taken",
    }


def _executors(each: Queue) -> str:
    return f"{each.executors}, {each.paused} paused" if each.paused else str(each.executors)


def _many(jobs: int) -> str:
    return f"{jobs}+" if jobs >= 10_000 else str(jobs)


def _places(places: int | None) -> str:
    return "?" if places is None else str(places)
