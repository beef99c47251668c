"""Fills a database with workflows under way, by the release that is on the path: what a dump of it is made from.

    PYTHONPATH=<sources of the release>:. python tests/released/make_dump.py <dsn>
    pg_dump --inserts --no-owner <dsn> | sed '/^\\\\/d' > tests/released/<release>/database.dump

On PostgreSQL 15, so that both servers of the tests read it. Queue ``later`` is worked on by nobody: its steps are for
those who upgrade.
"""

import asyncio
import sys
from datetime import timedelta
from typing import Any

from oban import Job

from oban_powertools import Actor, AllowAll, Powertools, StepHandle, Workflow, schema
from oban_powertools.database import connect
from tests.released.work import Item

ANA = Actor(id="ana")


def echo(value: Any, queue: str = "default") -> Job:
    """A job that returns a value."""
    return Job("tests.released.work.Echo", args={"x": value}, queue=queue)


def definitions() -> dict[str, Workflow]:
    """Workflow by its name, each stopped at something else."""
    all_of_them = {
        name: Workflow(name, on_finished=echo("told", "later") if name == "chain" else None)
        for name in ("finished", "chain", "waiting", "early", "held", "failed", "nested", "mapped", "delayed")
    }
    first = {name: workflow.add("a", echo([1, 2, 3])) for name, workflow in all_of_them.items() if name != "failed"}
    inner = Workflow("inner")
    inner.add("y", echo(inner.add("x", echo(7)).result, "later"))
    second: dict[str, StepHandle[Any]] = {
        "finished": all_of_them["finished"].add("b", echo(first["finished"].result)),
        "chain": all_of_them["chain"].add("b", echo(first["chain"].result, "later")),
        "waiting": all_of_them["waiting"].await_signal("b", signal="go", correlation_key="k", deps=[first["waiting"]]),
        "early": all_of_them["early"].add("b", echo(first["early"].result, "later")),
        "held": all_of_them["held"].add("b", echo(first["held"].result, "later")),
        "failed": all_of_them["failed"].add(
            "b", Job("tests.released.work.FailUntilMended", args={"needs": "mail"}, max_attempts=1)
        ),
        "nested": all_of_them["nested"].add_workflow("b", inner, deps=[first["nested"]]),
        "mapped": all_of_them["mapped"].map("b", Item, over=first["mapped"].result),
        "delayed": all_of_them["delayed"].add(
            "b", Job("tests.released.work.Echo", args={"x": 1}, schedule_in=3600 * 24 * 365), deps=[first["delayed"]]
        ),
    }
    third = {
        "early": all_of_them["early"].await_signal("s", signal="early", correlation_key="k", deps=[second["early"]])
    }
    for name, workflow in all_of_them.items():
        workflow.add("c", echo(third.get(name, second[name]).result))
    return all_of_them


async def main(dsn: str) -> None:
    """Install, run what can be run, and leave the rest."""
    async with await connect(dsn) as conn:
        await schema.install(conn)
    async with Powertools.open(dsn, queues={"default": 5}, authorize=AllowAll(), leadership=False) as powertools:
        handles = {name: await powertools.workflows.insert(one) for name, one in definitions().items()}
        await powertools.workflows.signal("early", "k", {"told": "early"})
        await powertools.workflows.hold(
            handles["held"].id, "c", hold_for=timedelta(days=3650), actor=ANA, reason="not before the audit"
        )
        await asyncio.sleep(8)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
