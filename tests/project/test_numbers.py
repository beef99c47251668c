"""The page of numbers says what the code says."""

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "numbers.md"
CODE = ROOT / "src" / "oban_powertools"
ROW = re.compile(
    r"^\| (?P<what>.+) \| (?P<amount>[\d.,]+)(?: (?P<unit>\w+))? \| `(?P<path>[\w/.]+)` \(`(?P<text>.+)`\) \|$"
)
UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86_400, "KiB": 1024, "MiB": 1024**2, None: 1}


def rows() -> Iterator[re.Match[str]]:
    for line in PAGE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| What |"):
            row = ROW.match(line)
            assert row, f"not a row of the page: {line}"
            yield row


def amount_of(row: re.Match[str]) -> float:
    return float(row["amount"].replace(",", "")) * UNITS[row["unit"]]


def value_of(path: str, expression: str) -> float:
    module = importlib.import_module("oban_powertools." + path.removesuffix(".py").replace("/", "."))
    value: Any = eval(expression, vars(module))
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["what"]) for row in rows()])
def test_a_number_is_what_its_place_says(row: re.Match[str]) -> None:
    if row["path"].endswith(".sql") or "pool_max_size" in row["text"]:
        places = (CODE, CODE / "database" / "sql")
        text = next((place / row["path"]).read_text() for place in places if (place / row["path"]).is_file())
        assert row["text"] in text
        assert re.search(rf"\b{row['amount']}\b", row["text"])
    else:
        assert value_of(row["path"], row["text"]) == pytest.approx(amount_of(row))
