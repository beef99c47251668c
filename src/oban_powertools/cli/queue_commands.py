"""``queues list`` and ``show``, ``queue pause``, ``resume`` and ``scale``: who serves a queue, and what waits in it."""

from collections.abc import Sequence
from typing import Any, Final

import click

from ..acts import Action
from ..operators.audit import AuditRecord
from ..operators.authorization import Authorize
from ..plural import counted
from ..states import OperatorStatus
from ..times import ago
from ..upkeep.queues import Queue, QueueHolder, QueueProducer, has_done
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .next_commands import command_line, find_worst
from .output import note, print_facts, print_json, print_list, print_next, print_table, say
from .tables import Column, Table
from .target import Database, answering
from .values import accounted

_node = click.option("--node", metavar="NODE", help="Only the executors of this node.  [default: all]")


def _executors(each: Queue) -> str:
    return f"{each.executors}, {each.paused} paused" if each.paused else str(each.executors)


def _running(each: Queue) -> str:
    """Of how many places how many are taken; places of paused executors are none."""
    return str(each.running) if each.paused or not each.executors else f"{each.running}/{_places(each.places)}"


def _orphaned(each: Queue) -> int:
    """Jobs that are marked executing, and that no living executor has."""
    return max(each.executing - each.running, 0)


QUEUES: Final = Table[Queue](
    (
        Column("STATUS", lambda queue: queue.status, whole=True),
        Column("QUEUE", lambda queue: queue.name),
        Column("DUE", lambda queue: _many(queue.available), number=True),
        Column("OLDEST", lambda queue: ago(queue.oldest_due_at), whole=True),
        Column("LATER", lambda queue: _some(queue.scheduled + queue.retryable), number=True),
        Column("RUNNING", _running, number=True),
        Column("ORPHANED", lambda queue: _orphaned(queue) or None, number=True),
        Column("EXECUTORS", _executors, whole=True),
    )
)
_PRODUCERS: Final = Table[QueueProducer](
    (
        Column("NODE", lambda producer: producer.node),
        Column("PAUSED", lambda producer: "paused" if producer.paused else "", whole=True),
        Column("RUNNING", lambda producer: f"{producer.running}/{_places(producer.places)}", number=True),
        Column("STARTED", lambda producer: ago(producer.started_at), whole=True),
    )
)
_HOLDERS: Final = Table[QueueHolder](
    (
        Column("JOB", lambda holder: holder.job_id, whole=True),
        Column("WORKFLOW", lambda holder: holder.workflow_id, whole=True),
        Column("RUNS", lambda holder: holder.step or holder.worker),
        Column("NODE", lambda holder: holder.node),
        Column("SINCE", lambda holder: ago(holder.since), whole=True),
    )
)


@click.group(cls=Group)
def queues() -> None:
    """Look at queues; changes nothing."""


@click.group(cls=Group)
def queue() -> None:
    """Pause, resume and scale a queue, by Oban's own signals."""


queue.beside, queues.beside = queues, queue


@queues.command("list", epilog=examples("powertools queues list"))
@answering
async def list_(target: Database, *, form: Form) -> int:
    """List the queues that somebody serves, or that have jobs which have not ended."""
    async with target.snapshot() as calls:
        found = await calls.queues.list()
    worst = find_worst(found)
    then = [command_line("queues", "show", worst.name)] if worst else []
    print_list(form, "queues", found, QUEUES, empty="no queue", then=then)
    return Exit.DONE


@queues.command("show", epilog=examples("powertools queues show default"))
@click.argument("name", metavar="QUEUE")
@answering
async def show(target: Database, *, name: str, form: Form) -> int:
    """Show one queue: who serves it, and who holds its places."""
    async with target.snapshot() as calls:
        found = await calls.queues.get(name)
        told = await calls.audit.list(target_type="queue", target_id=name, outcome="executed") if found.paused else []
    if form.is_json:
        print_json({"queue": found}, form)
        return Exit.DONE
    print_facts({**_facts(found), "paused by": _by_whom(told)})
    if found.producers:
        say()
        print_table(_PRODUCERS, found.producers)
    if found.holders:
        say()
        print_table(_HOLDERS, found.holders)
    if found.paused:
        print_next(command_line("queue", "resume", name, reason=True))
    elif found.status is OperatorStatus.BLOCKED:
        print_next(command_line("start", "--queues", f"{name}:10"))
    elif _orphaned(found):
        print_next(command_line("executors", "list"))
    return Exit.DONE


@queue.command(epilog=examples("powertools queue pause billing --reason 'billing is down'"))
@click.argument("name", metavar="QUEUE")
@_node
@accounted
@answering
async def pause(target: Database, *, name: str, **given: Any) -> int:
    """Tell the executors of a queue to take no more jobs; what runs goes on.

    Exit code 1 when one of them has not done it.
    """
    return await _tell(target, "pause", name, "paused", **given)


@queue.command(epilog=examples("powertools queue resume billing --reason 'billing is back'"))
@click.argument("name", metavar="QUEUE")
@_node
@accounted
@answering
async def resume(target: Database, *, name: str, **given: Any) -> int:
    """Tell them to take jobs again.

    Exit code 1 when one of them has not done it.
    """
    return await _tell(target, "resume", name, "resumed", **given)


@queue.command(epilog=examples("powertools queue scale billing 5 --reason 'billing asks for less'"))
@click.argument("name", metavar="QUEUE")
@click.argument("limit", type=click.IntRange(1), metavar="LIMIT")
@_node
@accounted
@answering
async def scale(target: Database, *, name: str, limit: int, **given: Any) -> int:
    """Tell each of them how many jobs it may run at once, until it is started anew.

    Exit code 1 when one of them has not done it.
    """
    return await _tell(target, "scale", name, f"scaled to {limit} each", limit=limit, **given)


async def _tell(
    target: Database,
    call: str,
    name: str,
    done: str,
    *,
    node: str | None,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
    **options: int,
) -> int:
    async with target.calls(authorize) as calls:
        tell = getattr(calls.queues, call)
        told = await tell(name, node=node, actor=actor, reason=reason, source="cli", **options)
        asked = [one for one in (await calls.queues.get(name)).producers if node in (None, one.node)]
    act, limit = Action(f"queue_{call}"), options.get("limit")
    silent = sorted(one.node for one in asked if not has_done(act, one, limit))
    if form.is_json:
        print_json({"queue": name, "node": node, "told": told, "silent": silent}, form)
        return Exit.FAILED if silent else Exit.DONE
    say(f"{told - len(silent)} of {counted(told, 'executor')} of queue {name} {done}")
    if silent:
        note(f"no answer from {', '.join(silent)}: it is gone, or it does not hear; powertools executors list")
    print_next(command_line("queues", "show", name))
    return Exit.FAILED if silent else Exit.DONE


def _facts(each: Queue) -> dict[str, str]:
    return {
        "queue": each.name,
        "status": each.status,
        "available": _many(each.available),
        "scheduled": _some(each.scheduled),
        "retryable": _some(each.retryable),
        "executing": _some(each.executing) + (f", {_orphaned(each)} of them orphaned" if _orphaned(each) else ""),
        "oldest due": ago(each.oldest_due_at),
        "executors": _executors(each),
        "places": _taken(each),
    }


def _by_whom(told: Sequence[AuditRecord]) -> str:
    """Who paused it, and why; empty where the last that it was told by Powertools is no pause."""
    pause, resume = str(Action.QUEUE_PAUSE), str(Action.QUEUE_RESUME)
    last = next((one for one in told if one.action in (pause, resume)), None)
    if last is None or last.action != pause:
        return ""
    return f"{last.actor_id}, {ago(last.at)}: {last.reason or ''}"


def _taken(each: Queue) -> str:
    if not each.executors or each.paused == each.executors:
        return ""
    if each.paused:
        return f"{_places(each.places)} of executors that are not paused"
    return f"{each.running} of {_places(each.places)} taken"


def _some(jobs: int) -> str:
    return _many(jobs) if jobs else ""


def _many(jobs: int) -> str:
    return f"{jobs}+" if jobs >= 10_000 else str(jobs)


def _places(places: int | None) -> str:
    return "?" if places is None else str(places)
