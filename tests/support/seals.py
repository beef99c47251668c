"""The seal of what was released: hashes of migrations, which are never edited again, and of the functions beside them.

    python -m tests.support.seals > tests/released/sealed.sha256

is part of a release. A function may change after it; as an upgrade only does something where a migration is missing,
the change then needs one, if only of a comment.
"""

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
SQL = ROOT / "src/oban_powertools/database/sql"
SEALED = ROOT / "tests/released/sealed.sha256"


def seal(sql: Path) -> str:
    """A line for each migration and one for all functions and views, as ``sha256sum`` has them."""
    hashes = {file.name: _hash(file) for file in sorted((sql / "migrations").glob("*.sql"))}
    return "".join(f"{digest}  {name}\n" for name, digest in {**hashes, "functions": _of_functions(sql)}.items())


def broken(sql: Path, seals: str) -> Iterator[str]:
    """What is not as it was sealed, with what to do about it."""
    sealed = {name: digest for digest, name in (line.split() for line in seals.splitlines() if line[:1] != "#")}
    files = {file.name: _hash(file) for file in (sql / "migrations").glob("*.sql")}
    functions = sealed.pop("functions", None)
    for name, digest in sealed.items():
        if files.get(name) != digest:
            yield f"{name} was released and is not to be changed: add a migration"
    for name in sorted(files.keys() - sealed.keys()):
        if name < max(sealed, default=""):
            yield f"{name} comes before what was released: give it a greater number"
    if functions is not None and functions != _of_functions(sql) and files.keys() <= sealed.keys():
        yield "functions have changed since the release: add a migration, or no upgrade will apply them"


def _of_functions(sql: Path) -> str:
    files = [*sorted((sql / "functions").glob("*.sql")), sql / "views.sql"]
    return sha256("".join(f"{file.name} {_hash(file)}\n" for file in files).encode()).hexdigest()


def _hash(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(seal(SQL))
