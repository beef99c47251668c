"""The report as one HTML page that needs nothing else: its style and charts are in it."""

import itertools
from collections.abc import Sequence
from html import escape
from typing import Final

from .census import SINGLE_FILES, Sized
from .findings import Findings, documented

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #667085; --paper: #fbfbfd; --card: #fff; --line: #e4e7ee;
  --bar: #b9c6ff; --fill: #4a63e7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf2; --soft: #98a1b5; --paper: #12151d; --card: #1a1e29;
  --line: #2b3140; --bar: #38437c; --fill: #8b9cff; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 3rem 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.02em; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
p { color: var(--soft); margin: 0 0 1.5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.5rem;
  margin: 0 0 1.25rem; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1.25rem; }
.tiles b { display: block; font-size: 1.7rem; line-height: 1.2; letter-spacing: -.02em; }
.tiles span, .note { color: var(--soft); font-size: .875rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0 1.25rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); }
svg .soft { fill: var(--soft); }
svg .bar { fill: var(--bar); }
svg .fill { fill: var(--fill); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child, .text td { text-align: left; }
tr:last-child td { border-bottom: 0; }
"""
_ROW: Final = 26  # pixels, as all that follows
_WIDE: Final = 560
_NARROW: Final = 200
"""Of the longest bar."""
_LETTER: Final = 7.4
"""Of the wider system fonts at 13 pixels."""
_FOR_VALUE: Final = 70
_MOST_PACKAGES: Final = 20


def render(findings: Findings) -> str:
    """The whole page."""
    title = f"A census of the standard library of {findings.python}"
    totals = findings.totals
    packages = [(p["package"], p["lines"], p["code"]) for p in findings.packages if p["package"] != SINGLE_FILES]
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
<main>
<h1>{escape(title)}</h1>
<p>Every module was one step of workflow {findings.workflow_id}, every package combined the results of its modules,
and this report was the last step.</p>
<section class="tiles">
{_tile(findings.modules, "modules")}
{_tile(totals["lines"], "lines")}
{_tile(totals["functions"], "functions")}
{_tile(totals["classes"], "classes")}
{_tile(documented(totals), "of what is public has a docstring")}
</section>
<section><h2>Lines by package</h2>
{_chart("Lines by package, and how many of them hold code", packages[:_MOST_PACKAGES], _WIDE)}
<span class="note">Dark: lines with code. Light: docstrings, comments and blank lines.</span></section>
<div class="pair">
<section><h2>Largest modules</h2>{_chart("Lines by module", _sized(findings.largest), _NARROW)}</section>
<section><h2>Most imported modules</h2>
{_chart("Modules that import it", [(name, count, count) for name, count in findings.imported], _NARROW)}</section>
</div>
<section><h2>Longest functions</h2>{_chart("Lines by function", _sized(findings.longest), _WIDE - 100)}</section>
<section><h2>All packages</h2>{_packages(findings)}</section>
<section class="text"><h2>Not counted</h2>{_left_out(findings)}</section>
</main>
</html>
"""


def _sized(found: Sequence[Sized]) -> list[tuple[str, int, int]]:
    return [(sized["name"], sized["lines"], sized["lines"]) for sized in found]


def _tile(value: int | str, label: str) -> str:
    return f"<div><b>{value if isinstance(value, str) else f'{value:,}'}</b><span>{escape(label)}</span></div>"


def _chart(title: str, rows: Sequence[tuple[str, int, int]], longest: int) -> str:
    """Horizontal bars.

    Args:
        rows: Label, value, and how much of the value is filled.
        longest: Length of the longest bar; pixels.
    """
    left = 16 + _LETTER * max((len(name) for name, _, _ in rows), default=0)
    scale = longest / max((value for _, value, _ in rows), default=1)
    bars = [
        f'<text x="{left - 10:.0f}" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="bar" x="{left:.0f}" y="{y + 4}" width="{value * scale:.1f}" height="18" rx="3"/>'
        f'<rect class="fill" x="{left:.0f}" y="{y + 4}" width="{filled * scale:.1f}" height="18" rx="3"/>'
        f'<text class="soft" x="{left + value * scale + 8:.0f}" y="{y + 17}">{value:,}</text>'
        for y, (name, value, filled) in zip(itertools.count(0, _ROW), rows, strict=False)
    ]
    width, height = round(left + longest + _FOR_VALUE), len(rows) * _ROW
    return (
        f'<svg viewBox="0 0 {width} {height}" style="max-width: {width}px" font-size="13" '
        f'font-family="system-ui, sans-serif" role="img" aria-label="{escape(title)}">{"".join(bars)}</svg>'
    )


def _packages(findings: Findings) -> str:
    head = ("Package", "Modules", "Lines", "Code", "Comments", "Functions", "Classes", "Documented")
    rows = [
        (p["package"], *(f"{p[key]:,}" for key in ("modules", "lines", "code", "comments", "functions", "classes")),
         documented(p))
        for p in findings.packages
    ]  # fmt: skip
    return _table(head, rows)


def _left_out(findings: Findings) -> str:
    return _table(("Module", "Why"), [(item["module"], item["reason"]) for item in findings.left_out])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f"<table><thead><tr>{titles}</tr></thead><tbody><tr>{'</tr><tr>'.join(lines)}</tr></tbody></table>"
