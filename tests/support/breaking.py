"""Ways to break our own bookkeeping on purpose, mended at exit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oban_powertools import Workflow
from tests.support.by_hand import Hand, step


def faulty_root() -> Workflow:
    """Its root cannot end inside ``broken_steps``; a child takes the root's result."""
    workflow = Workflow("faulty", on_finished=step())
    faulty = workflow.add("faulty", step())
    workflow.add("child", step({"x": faulty.result}))
    return workflow


@asynccontextmanager
async def broken_steps(hand: Hand) -> AsyncIterator[None]:
    """No step whose name begins with ``faulty`` can end."""
    async with refusing(hand, "powertools.steps", "UPDATE", "OLD.state = 'available' AND NEW.name LIKE 'faulty%'"):
        yield


@asynccontextmanager
async def refusing(hand: Hand, table: str, event: str, condition: str) -> AsyncIterator[None]:
    """A table refuses rows that meet a condition on NEW (and OLD)."""
    await hand.rows(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken on purpose'; END $$; "
        f"CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        await hand.rows("DROP FUNCTION refuse CASCADE")


@asynccontextmanager
async def blind(hand: Hand) -> AsyncIterator[None]:
    """The triggers on Oban's jobs are disabled."""
    await hand.rows("ALTER TABLE oban_jobs DISABLE TRIGGER USER")
    try:
        yield
    finally:
        await hand.rows("ALTER TABLE oban_jobs ENABLE TRIGGER USER")
