"""The files of the report.

The rule that must never break: a file is complete or not there, because the report step may be killed and run again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import page
from .findings import Findings, documented


def write_report(findings: Findings, folder: Path) -> dict[str, Any]:
    """Write ``census.html`` and ``census.md``.

    Returns:
        ``{"files": [path, path], "python": "CPython 3.13.0", "modules": 625, "lines": 307390, ...}``.

    Raises:
        OSError: The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / "census.html": page.render(findings), folder / "census.md": "\n".join(_markdown(findings))}
    for path, text in files.items():
        unfinished = path.with_suffix(f"{path.suffix}.unfinished")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    return {
        "files": [str(path) for path in files],
        "python": findings.python,
        "modules": findings.modules,
        **findings.totals,
    }


def _markdown(findings: Findings) -> Iterator[str]:
    totals = findings.totals
    yield f"# A census of the standard library of {findings.python}\n"
    yield f"- {findings.modules:,} modules"
    yield f"- {totals['lines']:,} lines: {totals['code']:,} with code, {totals['comments']:,} with comments"
    yield f"- {totals['functions']:,} functions and {totals['classes']:,} classes"
    yield f"- {documented(totals)} of the public modules, classes and functions have a docstring\n"
    yield from _table(
        "Packages",
        ("Package", "Modules", "Lines", "Code", "Functions", "Classes", "Documented"),
        [
            (p["package"], p["modules"], p["lines"], p["code"], p["functions"], p["classes"], documented(p))
            for p in findings.packages
        ],
    )
    yield from _table("Largest modules", ("Module", "Lines"), [(m["name"], m["lines"]) for m in findings.largest])
    yield from _table("Longest functions", ("Function", "Lines"), [(f["name"], f["lines"]) for f in findings.longest])
    yield from _table("Most imported modules", ("Module", "Imported by"), findings.imported)
    yield from _table(
        "Not counted", ("Module", "Why"), [(item["module"], item["reason"]) for item in findings.left_out]
    )
    yield f"Found by workflow {findings.workflow_id} of the Oban Powertools demo.\n"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' if cell in (head[0], 'Why') else '---:' for cell in head)}|"
    for row in rows:
        yield f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell.replace('|', '/') for cell in row)} |"
    yield ""
