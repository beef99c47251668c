"""The page that says which file to open names files that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "where-is-what.md"
CODE = ROOT / "src" / "oban_powertools"
PLACES = (CODE, CODE / "database" / "sql", ROOT / "tests")


def test_every_path_of_the_page_exists() -> None:
    paths = re.findall(r"`([\w/.-]+\.(?:py|sql))`", PAGE.read_text())

    assert len(paths) > 100
    assert [path for path in paths if not any((place / path).is_file() for place in PLACES)] == []


def test_every_row_names_a_test() -> None:
    rows = re.findall(r"^\| (?!To change|---).*$", PAGE.read_text(), re.MULTILINE)

    assert [row for row in rows if not re.search(r"`[\w/]*test_\w+\.py`(, `[\w/]*test_\w+\.py`)* \|$", row)] == []


def test_every_file_of_the_package_is_on_the_page() -> None:
    page = PAGE.read_text()
    files = [path for place in PLACES[:2] for path in (*place.rglob("*.py"), *place.rglob("*.sql"))]
    below = {path.relative_to(CODE).as_posix().removeprefix("database/sql/") for path in files}
    # A folder on the page stands for what is in it; records and packages say themselves what they are.
    named = {path for path in below if path in page or any(f"`{parent}/`" in page for parent in Path(path).parents)}
    left_out = {
        path for path in below if path.startswith("migrations/") or Path(path).name in {"__init__.py", "records.py"}
    }

    assert sorted(below - named - left_out) == []


def test_every_name_beside_a_path_is_in_that_file() -> None:
    named = [
        (path, name)
        for path, names in re.findall(r"`([\w/.-]+\.(?:py|sql))` \(((?:`\w+`(?:, )?)+)\)", PAGE.read_text())
        for name in re.findall(r"`(\w+)`", names)
    ]
    texts = {path: next(place / path for place in PLACES if (place / path).is_file()).read_text() for path, _ in named}

    assert len(named) > 20
    assert [(path, name) for path, name in named if name not in texts[path]] == []


def test_the_page_how_it_works_has_every_room() -> None:
    contract = (ROOT / "pyproject.toml").read_text().partition("layers = [")[2].partition("]")[0]
    overview = (ROOT / "docs" / "design" / "overview.md").read_text()
    [rooms] = re.findall(r"^## Rooms\n\n```text\n(.*?)^```", overview, re.MULTILINE | re.DOTALL)
    named = {word for line in rooms.splitlines() for word in line[:35].split()}

    assert set(re.findall(r"[a-z]\w+", contract.replace("(__main__)", ""))) == named
