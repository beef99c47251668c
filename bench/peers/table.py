"""The one table: medians, the smallest and largest in brackets, and how many times the base's figure it is."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from bench.peers.lineup import BASE
from bench.peers.results import Document, Row, figures, ratios

HEADS = (  # W1 to W5; the pages of the documentation keep such codes for rules
    "System, steps at a time",
    "chains, steps/s",
    "fans, steps/s",
    "one large fan, steps/s",
    "hop, ms",
    "with a history",
)
QUIET: Final = 0.05
"""Share of the processors that others may use while figures are to mean something."""
COSTS = (  # of W1, or of the row's only workload
    "submitted, steps/s",
    "WAL, B a step",
    "worker CPU, ms a step",
    "MB",
)


def table(document: Document) -> str:
    """Markdown, with who took part, and on what, below it."""
    lines = [f"| {' | '.join((*HEADS, *COSTS))} |", "|---" * len((*HEADS, *COSTS)) + "|"]
    lines += [f"| {' | '.join(_cells(document, row))} |" for row in document["rows"]]
    lines += [
        f"| {name} | {_escaped(system['missing'])} |{' |' * (len((*HEADS, *COSTS)) - 2)}"
        for name, system in document["systems"].items()
        if system["missing"]
    ]
    return "\n".join([*lines, "", *_legend(document), "", *_systems(document)])


def _cells(document: Document, row: Row) -> list[str]:
    cells = [row["name"]]
    cells += [_cell(document, row, workload) for workload in ("W1", "W2", "W3", "W4")]
    return [*cells, _history(row), *_costs(row)]


def _cell(document: Document, row: Row, workload: str) -> str:
    if reason := row["failed"].get(workload):
        return f"failed: {_escaped(reason)[:100]}"
    values = figures(row, workload)
    if not values:
        return ""
    text = spread(values, 1 if workload == "W4" else 0)
    times = ratios(document, row, workload)
    return f"{text}, {_significant(median(times))} x" if times else text


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and in brackets the smallest and the largest."""
    return f"**{median(values):,.{digits}f}** ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def _significant(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def _history(row: Row) -> str:
    if reason := row["failed"].get("W5"):
        return f"failed: {_escaped(reason)[:100]}"
    if not (history := row.get("history")):
        return ""
    rate, hop = (_ratio(history["grown"][of], history["empty"][of]) for of in ("rates", "hops_ms"))
    return f"{rate:.2f}, hop {hop:.2f}, after {history['steps']:,} steps"


def _ratio(grown: Sequence[float], empty: Sequence[float]) -> float:
    return median(g / e for g, e in zip(grown, empty, strict=True))


def _costs(row: Row) -> list[str]:
    """Of W1, or else of what was measured first."""
    runs: list[dict[str, Any]] = next((runs for name, runs in row["runs"].items() if name != "W4"), [])
    if not runs:
        return ["", "", "", ""]
    wal = median(run["wal_bytes"] / run["steps"] for run in runs)
    return [
        f"{median(run['steps'] / run['submit_seconds'] for run in runs):,.0f}",
        f"{wal:,.0f}" if wal >= 10 else "none",
        f"{median(run['cpu_seconds'] / run['steps'] for run in runs) * 1e3:.3f}",
        f"{median(run['rss_bytes'] for run in runs) / 2**20:.0f}",
    ]


def _legend(document: Document) -> list[str]:
    machine, postgres = document["machine"], dict(document["postgres"])
    version = postgres.pop("version")
    others = [
        run["others"] for row in document["rows"] for runs in row["runs"].values() for run in runs if "others" in run
    ]
    settings = ", ".join(f"{name} {value}" for name, value in postgres.items())
    when = f"{document['at'][:16].replace('T', ' ')} UTC, commit {document['commit']}"
    rounds = "one round" if document["rounds"] == 1 else f"{document['rounds']} rounds in turns"
    how = f"{rounds}, medians, smallest and largest in brackets"
    where = (
        f"{machine['processors']} processors ({machine['processor']}), {machine['memory_gb']} GB, {machine['system']}"
    )
    lines = [
        f"{when}: {how}; x: how many times the better of {BASE}'s rows in the same rounds.",
        f"{where}, Python {machine['python']}; PostgreSQL {version} ({settings}).",
    ]
    if redis := document["redis"]:
        lines.append(f"Redis {redis}.")
    if others:
        busy = " **Too much: measure again on a quiet machine.**" if median(others) > QUIET else ""
        lines.append(f"Others used {median(others):.0%} of the processors meanwhile, at most {max(others):.0%}.{busy}")
    if document["small"]:
        lines.append("A trial: the work is so small that the figures mean nothing.")
    return lines


def _systems(document: Document) -> list[str]:
    lines: list[str] = []
    for name, system in document["systems"].items():
        versions = ", ".join(f"{package} {version}" for package, version in system["versions"].items())
        lacks = system["lacks"][0].lower() + system["lacks"][1:]
        lines.append(f"- **{name}** ({versions or 'not installed'}). {system['about']} What it does not do: {lacks}")
    return lines


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
