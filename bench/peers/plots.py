"""Bars as SVG, for the pages: ``speed-steps`` and ``speed-hop``, each for a light and for a dark page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from typing import Final

from bench.peers.lineup import OURS
from bench.peers.results import Document, Row, figures

WIDTH: Final = 760
BAR: Final = 18
GAP: Final = 8
LABEL: Final = 150
"""Pixels left of the bars."""
VALUE: Final = 130
"""Pixels right of them."""
HEAD: Final = 34
"""Pixels of a group's title."""

NAMES: Final[Mapping[str, str]] = {
    "W1": "Chains: 200 workflows of 10 steps, steps a second",
    "W2": "Fans: 20 workflows of 1 step, then 100 at once, then 1, steps a second",
    "W3": "One large fan: 1 step, then 2,000 at once, then 1, steps a second",
    "W4": "Hop: from a step to the next one on an idle system, milliseconds",
}
PICTURES: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "speed-steps": ("More is better", ("W1", "W2", "W3")),
    "speed-hop": ("Less is better", ("W4",)),
}
"""Name -> how to read it, and the workloads it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """Of one theme; every text has a contrast of at least 4.5 to the page."""

    page: str
    text: str
    quiet: str
    ours: str
    others: str


THEMES: Final[Mapping[str, Colours]] = {
    "light": Colours(page="#ffffff", text="#1f2328", quiet="#59636e", ours="#0969da", others="#9aa4af"),
    "dark": Colours(page="#0d1117", text="#f0f6fc", quiet="#9198a1", ours="#4493f8", others="#5d6673"),
}


def plots(document: Document) -> Iterator[tuple[str, str]]:
    """Each file's name and text."""
    for name, (reading, workloads) in PICTURES.items():
        for theme, colours in THEMES.items():
            yield f"{name}.{theme}.svg", _svg(document, reading, workloads, colours)


def write_plots(document: Document, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in plots(document):
        (directory / name).write_text(text)


def _svg(document: Document, reading: str, workloads: Sequence[str], colours: Colours) -> str:
    parts: list[str] = []
    top = 8
    for workload in workloads:
        rows = _rows(document, workload)
        parts += _group(NAMES[workload], workload, rows, top, colours)
        top += HEAD + len(rows) * (BAR + GAP) + 6
    rounds = (
        "One round" if document["rounds"] == 1 else f"Median of {document['rounds']} rounds, line: smallest to largest"
    )
    how = f"{rounds}. Durable, but for Celery. Behind a name: steps at a time."
    where = f"{reading}. {how} {document['at'][:10]}"
    parts.append(_text(8, top + 14, where, colours.quiet, size=12))
    height = top + 28
    said = escape("; ".join(_spoken(document, workload) for workload in workloads))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" font-family="system-ui, sans-serif">\n<title>{said}</title>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="{colours.page}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _rows(document: Document, workload: str) -> list[Row]:
    """The best setting of every system with workflows, best first."""
    best: dict[str, Row] = {}
    sign = -1 if workload == "W4" else 1
    for row in document["rows"]:
        plain = not row["condition"] and not row["payload"] and row["processes"] == 1
        if not (plain and document["systems"][row["system"]]["workflows"] and figures(row, workload)):
            continue
        known = best.get(row["system"])
        if known is None or sign * median(figures(row, workload)) > sign * median(figures(known, workload)):
            best[row["system"]] = row
    return sorted(best.values(), key=lambda row: -sign * median(figures(row, workload)))


def _group(title: str, workload: str, rows: Sequence[Row], top: int, colours: Colours) -> list[str]:
    parts = [_text(8, top + 20, title, colours.text, size=14, weight=600)]
    longest = max((max(figures(row, workload)) for row in rows), default=1.0)
    scale = (WIDTH - LABEL - VALUE) / longest
    for at, row in enumerate(rows):
        y = top + HEAD + at * (BAR + GAP)
        values = figures(row, workload)
        ours = row["system"] == OURS
        middle = y + BAR / 2
        who = f"{row['system']}, {row['limit']}"
        left, right = LABEL + min(values) * scale, LABEL + max(values) * scale
        width, fill = median(values) * scale, colours.ours if ours else colours.others
        parts.append(_text(LABEL - 8, y + 13, who, colours.text, anchor="end", weight=600 if ours else 400))
        parts.append(f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{fill}"/>')
        parts.append(f'<path d="M{left:.1f} {middle}H{right:.1f}" stroke="{colours.text}"/>')
        parts.append(_text(right + 8, y + 13, _value(values, workload), colours.text))
    return parts


def _value(values: Sequence[float], workload: str) -> str:
    return f"{median(values):,.{1 if workload == 'W4' else 0}f}"


def _spoken(document: Document, workload: str) -> str:
    """For who cannot see it."""
    rows = _rows(document, workload)
    return f"{NAMES[workload]}: " + ", ".join(
        f"{row['system']} {_value(figures(row, workload), workload)}" for row in rows
    )


def _text(x: float, y: float, text: str, fill: str, *, size: int = 13, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
