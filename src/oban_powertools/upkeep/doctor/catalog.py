"""Check that the schema is what the migrations made: tables, indexes, constraints, functions, triggers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ...config import Names
from ...database import Row, Session
from .expected import Expected, Trigger, expected
from .finding import Finding, Level

_REINSTALL: Final = (
    "find out who changed it; `powertools install --sql` prints how it should be, and a restore or that part of the "
    "SQL brings it back"
)
_FIRES: Final = {"O": "enabled", "D": "disabled", "R": "enabled for replicas only", "A": "always enabled"}


async def check_functions(session: Session) -> list[Finding]:
    """Functions that are missing, or are no longer those of this release."""
    rows = {row["name"]: row for row in await session.all("doctor_functions", _schema(session.queries.names))}
    schema = expected(session.queries.names)
    return [*_functions(schema, rows)]


def _functions(schema: Expected, rows: Mapping[str, Row]) -> Iterator[Finding]:
    find = partial(Finding, check="functions", level=Level.ERROR, todo=_REINSTALL)
    for name, bodies in sorted(schema.functions.items()):
        row = rows.get(name)
        if row is None:
            yield find(subject=f"function {name}", found="missing", expected="as this release installs it")
        elif frozenset(row["bodies"]) != bodies:
            yield find(subject=f"function {name}", found="another text", expected="the text of this release")
        elif row["definer"] != (name in schema.definers):
            rights = ("its caller", "its owner")
            yield find(
                subject=f"function {name}",
                found=f"runs with the rights of {rights[row['definer']]}",
                expected=f"runs with the rights of {rights[name in schema.definers]}",
            )


async def check_relations(session: Session) -> list[Finding]:
    """Tables, views, indexes and constraints that are missing, not durable, or not valid."""
    names = {**_schema(session.queries.names), "prefix": session.queries.names.prefix}
    schema = expected(session.queries.names)
    relations = await session.all("doctor_relations", names)
    constraints = await session.all("doctor_constraints", names)
    return [*_relations(schema, relations), *_constraints(schema, constraints)]


def _relations(schema: Expected, rows: Sequence[Row]) -> Iterator[Finding]:
    find: Callable[..., Finding] = partial(Finding, check="relations", level=Level.ERROR)
    ours = {row["name"] for row in rows if row["ours"]}
    for name in sorted(schema.relations - ours):
        yield find(subject=f"table {name}", found="missing", expected="as this release installs it", todo=_REINSTALL)
    for name in sorted(schema.indexes - ours):
        yield find(subject=f"index {name}", found="missing", expected="as this release installs it", todo=_REINSTALL)
    for row in rows:
        if row["valid"] is False:
            yield find(
                subject=f"index {row['name']}",
                found="not valid: a build did not end",
                expected="valid",
                todo=f"REINDEX INDEX CONCURRENTLY {row['schema']}.{row['name']}",
            )
        if row["unlogged"]:
            yield find(
                subject=f"table {row['name']}",
                found="UNLOGGED: a crash of the server empties it",
                expected="logged",
                todo=f"ALTER TABLE {row['schema']}.{row['name']} SET LOGGED",
            )


def _constraints(schema: Expected, rows: Sequence[Row]) -> Iterator[Finding]:
    valid = {(row["relation"], row["name"]): row["valid"] for row in rows}
    for table, name in sorted(schema.constraints):
        if not valid.get((table, name)):
            yield Finding(
                check="relations",
                level=Level.ERROR,
                subject=f"constraint {name} of table {table}",
                found="not validated" if (table, name) in valid else "missing",
                expected="as this release installs it",
                todo=_REINSTALL,
            )


async def check_triggers(session: Session) -> list[Finding]:
    """Triggers that are missing, switched off, or run something else (invariant/I1: they move the workflows)."""
    names = {**_schema(session.queries.names), "prefix": session.queries.names.prefix}
    rows = await session.all("doctor_triggers", names)
    by_name = {(row["relation"], row["name"]): row for row in rows}
    return [
        finding
        for trigger in expected(session.queries.names).triggers
        for finding in _trigger(trigger, session.queries.names, by_name.get((trigger.table, trigger.name)))
    ]


def _trigger(trigger: Trigger, names: Names, row: Row | None) -> Iterator[Finding]:
    find = partial(Finding, check="triggers", level=Level.ERROR, subject=f"trigger {trigger.name} on {trigger.table}")
    mode = "A" if trigger.always else "O"
    enable = f"ALTER TABLE {trigger.table} ENABLE {'ALWAYS ' if trigger.always else ''}TRIGGER {trigger.name}"
    function = f"{names.schema}.{trigger.function}"
    if row is None:
        yield find(found="missing", expected=f"runs {function}", todo=_REINSTALL)
    elif row["function"] != function:
        yield find(found=f"runs {row['function']}", expected=f"runs {function}", todo=_REINSTALL)
    elif row["fires"] not in {mode, "A"}:
        yield find(
            found=_FIRES[row["fires"]],
            expected=_FIRES[mode],
            todo=f"{enable}; the sweep then settles what was missed",
        )


def _schema(names: Names) -> dict[str, Any]:
    return {"schema": names.schema}
