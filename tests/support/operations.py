"""The table of operations on the page of the JSON API, and its document: ``python -m tests.support.operations``."""

import json
import re
from itertools import groupby
from pathlib import Path

from oban_powertools.web.api import document
from oban_powertools.web.api.endpoints import ENDPOINTS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = REFERENCE / "http-api.md"
DOCUMENT = REFERENCE / "openapi.json"
PLACE = re.compile(r"(<!-- operations: .*? -->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """The operations, a table for each group."""
    parts: list[str] = []
    for tag, rows in groupby(ENDPOINTS, key=lambda endpoint: endpoint.tag):
        parts.append(f"### {tag}\n\n| Operation | What it does | Asked of the policy |\n|---|---|---|\n")
        parts += [
            f"| `{row.method} {row.path}` | {row.summary} | {', '.join(f'`{act}`' for act in row.acts[:1])} |\n"
            for row in rows
        ]
        parts.append("\n")
    return "".join(parts)


def written(page: str) -> str:
    """The page with the table as it should be."""
    return PLACE.sub(lambda place: f"{place[1]}\n{table()}{place[2]}", page)


def as_text() -> str:
    """The OpenAPI document as the reference keeps it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    DOCUMENT.write_text(as_text())
