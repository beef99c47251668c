"""Read the migrations: tables, types, indexes, triggers, data and grants, forward only.

Not for functions and views, which have one current text (``functions``). Two lines in the first comment of a migration
are read: ``Compatible from: 24`` when releases that know only version 24 keep working after it, and ``Outside a
transaction`` when it builds (and drops) indexes concurrently on tables in use. The rule that must never break: a
released migration is never edited, so an upgraded schema equals a fresh one.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_COMPATIBLE: Final = re.compile(r"^-- Compatible from: (\d+)$", re.MULTILINE)
_OUTSIDE: Final = re.compile(r"^-- Outside a transaction$", re.MULTILINE)
_INDEX: Final = re.compile(
    r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<name>\w+) "
    r"ON (?P<table>(?:powertools|public)\.\w+)\b[^;]*;"
)
_DROP: Final = re.compile(r"DROP INDEX CONCURRENTLY IF EXISTS (?:powertools|public)\.\w+;")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index that is built while its table is in use."""

    name: str
    """In the schema of its table."""

    table: str
    """With its schema, by the default names."""

    text: str
    """The statement that builds it, for the default schema names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One forward step of the schema."""

    version: int
    """Its number; each migration has the next one."""

    name: str
    """What it brings; unique."""

    text: str
    """Its SQL, for the default schema names."""

    compatible_from: int | None
    """The oldest version whose releases work on the schema it leaves; None when only releases that know it do."""

    indexes: tuple[Index, ...] = ()
    """The indexes that it builds outside a transaction; then it does nothing else but ``drops``."""

    drops: tuple[str, ...] = ()
    """Statements that drop, after that, the indexes they replace."""

    @property
    def record(self) -> str:
        """The statement that notes it as applied."""
        if self.compatible_from is None:
            return f"\nINSERT INTO powertools.migrations (version, name) VALUES ({self.version}, '{self.name}');\n"
        return (
            f"\nINSERT INTO powertools.migrations (version, name, compatible_from) "
            f"VALUES ({self.version}, '{self.name}', {self.compatible_from});\n"
        )

    @property
    def in_a_transaction(self) -> str:
        """Its SQL for tables that nobody uses yet."""
        return re.sub(r"\bCONCURRENTLY ", "", self.text) if self.indexes else self.text


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this release, oldest first."""
    folder = files("oban_powertools.database.sql").joinpath("migrations")
    read = [read_migration(file.name, file.read_text("utf-8")) for file in folder.iterdir()]
    return tuple(sorted(read, key=lambda migration: migration.version))


def read_migration(file: str, text: str) -> Migration:
    """A migration from its file's name and text.

    Raises:
        ValueError: It is outside a transaction and holds anything but indexes that are built concurrently, and after
            that, indexes that are dropped so.
    """
    version, _, name = file.removesuffix(".sql").partition("_")
    header = text.partition("\n\n")[0]
    compatible = _COMPATIBLE.search(header)
    outside = _OUTSIDE.search(header) is not None
    indexes = [Index(name=match["name"], table=match["table"], text=match[0]) for match in _INDEX.finditer(text)]
    others = re.sub(r"--.*|\s", "", _DROP.sub("", _INDEX.sub("", text))) if outside else ""
    if (outside and (others or not indexes)) or (not outside and "CONCURRENTLY" in text):
        raise ValueError(f"{file}: outside a transaction are indexes, CONCURRENTLY IF NOT EXISTS, and nothing else")
    return Migration(
        version=int(version),
        name=name,
        text=text,
        compatible_from=int(compatible[1]) if compatible else None,
        indexes=tuple(indexes) if outside else (),
        drops=tuple(_DROP.findall(text)) if outside else (),
    )
