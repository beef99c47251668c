"""The files of SQL: what was released stays as it is, and what is long says why."""

import re
import shutil
from pathlib import Path

import pytest

from oban_powertools.database.functions import functions
from tests.support.seals import SEALED, SQL, broken, seal

LONGEST = 80
"""Lines of a function without a reason: a screen at a small size."""


@pytest.fixture
def doctored(tmp_path: Path) -> Path:
    """A copy of the SQL, to be changed."""
    return Path(shutil.copytree(SQL, tmp_path / "sql"))


# Sealed


def test_nothing_that_was_released_has_been_changed() -> None:
    assert [*broken(SQL, SEALED.read_text())] == []


def test_a_sealed_state_is_whole_until_something_is_added(doctored: Path) -> None:
    seals = seal(doctored)
    (doctored / "migrations/9999_more.sql").write_text("-- Later.\n")

    assert [*broken(doctored, seals)] == []


def test_a_released_migration_that_was_edited_is_found(doctored: Path) -> None:
    seals = seal(doctored)
    file = doctored / "migrations/0001_workflows.sql"
    file.write_text(file.read_text().replace("fillfactor = 80", "fillfactor = 90"))

    assert [*broken(doctored, seals)] == ["0001_workflows.sql was released and is not to be changed: add a migration"]


def test_a_released_migration_that_was_removed_is_found(doctored: Path) -> None:
    seals = seal(doctored)
    (doctored / "migrations/0002_events.sql").unlink()

    assert [*broken(doctored, seals)] == ["0002_events.sql was released and is not to be changed: add a migration"]


def test_a_migration_that_comes_before_a_released_one_is_found(doctored: Path) -> None:
    seals = seal(doctored)
    (doctored / "migrations/0004_between.sql").write_text("-- Late.\n")

    assert [*broken(doctored, seals)] == ["0004_between.sql comes before what was released: give it a greater number"]


@pytest.mark.parametrize("file", ["functions/settle.sql", "views.sql"])
def test_a_function_that_changed_after_a_release_needs_a_migration(doctored: Path, file: str) -> None:
    seals = seal(doctored)
    (doctored / file).write_text((doctored / file).read_text() + "-- More.\n")

    without = [*broken(doctored, seals)]
    (doctored / "migrations/9999_more.sql").write_text("-- Functions only.\n")

    assert without == ["functions have changed since the release: add a migration, or no upgrade will apply them"]
    assert [*broken(doctored, seals)] == []


# Long


def test_a_long_function_says_why_beside_it() -> None:
    long = {function.name for function in functions() if (function.head + function.body).count("\n") >= LONGEST}
    texts = "".join(file.read_text() for file in (SQL / "functions").iterdir())
    reasons = re.findall(r"^-- Long: .*\n(?:-- .*\n)*CREATE OR REPLACE FUNCTION powertools\.(\w+)", texts, re.MULTILINE)

    assert {*reasons} == long
