"""What an upgrade to this release leaves in a database, read from the text of its migrations, functions and views.

Nothing is written down twice, so nothing here can be out of date.
"""

import re
from dataclasses import dataclass
from typing import Final

from ...config import Names
from ...database import render
from ...database.functions import functions, views
from ...database.migrations import migrations

_TABLE: Final = re.compile(r"^CREATE TABLE \w+\.(\w+) \(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_INDEX: Final = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+) ON", re.MULTILINE)
_TRIGGER: Final = re.compile(
    r"CREATE (?:CONSTRAINT )?TRIGGER (\w+) (?:BEFORE|AFTER) [\w ]+? ON (\S+)\s"
    r"(?:(?!;).)*?EXECUTE FUNCTION \w+\.(\w+)\(\)",
    re.DOTALL,
)
_ALWAYS: Final = re.compile(r"ALTER TABLE (\S+) ENABLE ALWAYS TRIGGER (\w+)")
_CONSTRAINT: Final = re.compile(r"^  CONSTRAINT (\w+) ", re.MULTILINE)
_LOOP: Final = re.compile(r"FOREACH \w+ IN ARRAY ARRAY\[(?P<names>[^]]*)\] LOOP(?P<body>.*?)END LOOP", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A trigger as it should be."""

    table: str
    """With its schema."""

    name: str
    """Of the trigger."""

    function: str
    """That it runs, without the schema."""

    always: bool
    """Whether it fires for replicas too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a database with this schema holds."""

    functions: dict[str, frozenset[str]]
    """Name -> source texts, one for each signature."""

    definers: frozenset[str]
    """Functions that run with the rights of their owner."""

    relations: frozenset[str]
    """Tables and views, without the schema."""

    indexes: frozenset[str]
    """Names, those of primary keys too."""

    constraints: frozenset[tuple[str, str]]
    """Table and name."""

    triggers: tuple[Trigger, ...]
    """By table and name."""


def expected(names: Names) -> Expected:
    """What this release leaves, for these schema names."""
    text = "\n".join(_unrolled(render(m.text, names).decode()) for m in migrations())
    tables = {match[1]: match[2] for match in _TABLE.finditer(text)}
    always = {(match[1], match[2]) for match in _ALWAYS.finditer(text)}
    keyed = {f"{table}_pkey" for table, columns in tables.items() if "PRIMARY KEY" in columns}
    triggers = {(match[2], match[1]): match[3] for match in _TRIGGER.finditer(text)}
    return Expected(
        functions=_bodies(names),
        definers=frozenset(function.name for function in functions() if "SECURITY DEFINER" in function.head),
        relations=frozenset(tables) | frozenset(views()),
        indexes=frozenset(_INDEX.findall(text)) | keyed,
        constraints=frozenset((table, name) for table in tables for name in _CONSTRAINT.findall(tables[table])),
        triggers=tuple(
            Trigger(table=table, name=name, function=function, always=(table, name) in always)
            for (table, name), function in sorted(triggers.items())
        ),
    )


def _bodies(names: Names) -> dict[str, frozenset[str]]:
    bodies: dict[str, frozenset[str]] = {}
    for function in functions():
        body = render(function.body, names).decode()
        bodies[function.name] = bodies.get(function.name, frozenset()) | {body}
    return bodies


def _unrolled(text: str) -> str:
    """The text with a loop over tables that runs formatted statements written out once a table."""

    def write_out(loop: re.Match[str]) -> str:
        tables = re.findall(r"'([^']+)'", loop["names"])
        return "\n".join(loop["body"].replace("%1$s", table) for table in tables)

    return _LOOP.sub(write_out, text)
