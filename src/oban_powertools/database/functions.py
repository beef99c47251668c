"""The functions and views of the schema: one current text each, applied as a whole at the end of an upgrade.

With them come the rows that name functions: those of the classes of incidents, and of the parts of the sweep.

Not for tables (``migrations``). After an upgrade the database has these functions with these texts, and no others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from ..incident_classes import IncidentClass
from ..sweep_parts import PartRow, SweepPart

_BY_INDEX: Final = "SET enable_seqscan = off SET enable_material = off SET random_page_cost = 0.01 SET jit = off"
_ROW_BY_ROW: Final = f"{_BY_INDEX} SET enable_hashjoin = off SET enable_mergejoin = off"

PLANNED: Final = {
    "-- PLANNED ONCE": f"{_ROW_BY_ROW} SET plan_cache_mode = force_generic_plan SET cpu_tuple_cost = 1",
    "-- PLANNED EACH TIME ROW BY ROW": f"{_ROW_BY_ROW} SET plan_cache_mode = force_custom_plan",
    "-- PLANNED EACH TIME": f"{_BY_INDEX} SET plan_cache_mode = force_custom_plan",
}
"""The comment between a function's language and its body -> the planner settings that replace it.

No setting trusts statistics, which a table that was just empty lacks. *Once*: planning is most of a small batch, so
what every batch runs is planned once a session, and a row costs so much that no plan which reads more of them looks
cheap. *Row by row*: joins look up each row by its key; without it, where large sets meet, they may also be hashed or
merged.
"""

_FUNCTION: Final = re.compile(
    r"^CREATE OR REPLACE FUNCTION powertools\.(?P<name>\w+)\((?P<head>.*?)\s"
    r"AS \$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$;",
    re.MULTILINE | re.DOTALL,
)
_VIEW: Final = re.compile(r"^CREATE OR REPLACE VIEW powertools\.(\w+) AS", re.MULTILINE)
_MODES: Final = frozenset({"IN", "INOUT", "VARIADIC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as a file of ``sql/functions`` has it, for the default schema names."""

    name: str
    """Without the schema."""

    arguments: tuple[str, ...]
    """The types of its arguments, as PostgreSQL reads them."""

    head: str
    """The text between its name and its body."""

    body: str
    """Its source, as the catalog has it."""

    @property
    def signature(self) -> str:
        """Its identity: ``powertools.settle(powertools.outcome[])``."""
        return f"powertools.{self.name}({', '.join(self.arguments)})"


@cache
def functions() -> tuple[Function, ...]:
    """Every function, by file."""
    return tuple(
        Function(name=match["name"], arguments=_types(match["head"]), head=match["head"], body=match["body"])
        for text in _files()
        for match in _FUNCTION.finditer(text)
    )


def body_of(name: str) -> str:
    """The source of the one function with this name.

    Raises:
        ValueError: No function has this name, or several have.
    """
    [body] = [function.body for function in functions() if function.name == name]
    return body


def views() -> tuple[str, ...]:
    """The names of the views, without the schema."""
    return tuple(_VIEW.findall(_read("views.sql")))


@cache
def functions_sql() -> str:
    """The SQL that ends an upgrade, in its transaction, for the default schema names.

    PostgreSQL checks a SQL function against the functions that it calls when it is created. They call one another, so
    no order would pass: the check is off here, and a test applies them all again with it.
    """
    signatures = ", ".join(f"'{function.signature}'" for function in functions())
    leftovers = _read("drop_leftovers.sql").replace("/* signatures */", signatures)
    unchecked = ("SET check_function_bodies = off;\n", *_files(), "RESET check_function_bodies;\n")
    return "\n".join((*unchecked, _read("views.sql"), leftovers, _classes(), _parts()))


def _classes() -> str:
    rows = ",\n  ".join(f"({', '.join(_row(name))})" for name in IncidentClass)
    names = ", ".join(map(_literal, IncidentClass))
    return _read("incident_classes.sql").replace("/* rows */", rows).replace("/* names */", names)


def _row(name: IncidentClass) -> Iterator[str]:
    row = name.row
    return map(_literal, (name, row.found_by, row.holds_by, row.concerns_by, row.over_because))


def _parts() -> str:
    return _read("sweep_parts.sql").replace("/* names */", ", ".join(map(_literal, SweepPart)))


def _when_due() -> str:
    """Of each part its name, when there is something to do."""
    calls = {part: part.row.due_when for part in SweepPart if part.row.due_when is not None}
    lines = (f"CASE WHEN EXISTS (SELECT FROM powertools.{call}) THEN '{part}' END" for part, call in calls.items())
    return ",\n    ".join(lines)


def _swept() -> str:
    """Of each part that a function does, its call."""
    calls = {part: _call(part.row) for part in SweepPart if part.row.swept_by is not None}
    return "\n    ".join(f"WHEN '{part}' THEN tally := {call};" for part, call in calls.items())


def _call(row: PartRow) -> str:
    if row.found_by is None:
        return f"powertools.{row.swept_by}(batch)"
    return f"powertools.sweep_by_halves('{row.swept_by}', powertools.{row.found_by}(batch))"


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


@cache
def _files() -> tuple[str, ...]:
    folder = files("oban_powertools.database.sql").joinpath("functions")
    return tuple(_written_out(file.read_text("utf-8")) for file in sorted(folder.iterdir(), key=lambda file: file.name))


def _read(name: str) -> str:
    return files("oban_powertools.database.sql").joinpath(name).read_text("utf-8")


def _written_out(text: str) -> str:
    text = text.replace("/* each part that is due */", _when_due()).replace("/* each part, swept */", _swept())
    return re.sub(rf"^({'|'.join(PLANNED)})$", lambda match: PLANNED[match[0]], text, flags=re.MULTILINE)


def _types(head: str) -> tuple[str, ...]:
    """``of_id bigint, OUT done bool, at timestamptz DEFAULT now()) RETURNS ...`` -> bigint, timestamptz."""
    parameters = [re.sub(r"\s+DEFAULT\s.*", "", one, flags=re.DOTALL).split() for one in _parameters(head)]
    inputs = [words[1:] if words[0] in _MODES else words for words in parameters if words and words[0] != "OUT"]
    return tuple(" ".join(words[1:]) for words in inputs)


def _parameters(head: str) -> Iterator[str]:
    depth, start, text = 0, 0, re.sub(r"--.*", "", head)
    for place, letter in enumerate(text):
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth < 0:
            yield text[start:place]
            return
