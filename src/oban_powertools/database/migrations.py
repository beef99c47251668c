"""The migrations: tables, types, indexes, triggers, data and grants, forward only.

Not for functions and views, which have one current text (``functions``). The rule that must never break: a released
migration is never edited, so a migrated schema equals a fresh one.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One forward step of the schema."""

    version: int
    """It grows from one to the next."""

    name: str
    """What it brings."""

    text: str
    """Its SQL, for the default schema names."""

    @property
    def record(self) -> str:
        """The statement that notes it as applied."""
        return f"\nINSERT INTO powertools.migrations (version, name) VALUES ({self.version}, '{self.name}');\n"


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this release, oldest first."""
    read: list[Migration] = []
    for file in files("oban_powertools.database.sql").joinpath("migrations").iterdir():
        version, _, name = file.name.removesuffix(".sql").partition("_")
        read.append(Migration(version=int(version), name=name, text=file.read_text("utf-8")))
    return tuple(sorted(read, key=lambda migration: migration.version))
