"""Draw the graph of a definition or of a stored workflow as text: Mermaid and Graphviz DOT.

Pure: no I/O. Whatever the names contain, the output parses: a name is always text, never syntax.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..states import Policy, StepKind, StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step to draw."""

    name: str
    """Any text."""

    parents: Mapping[int, str]
    """Index of the parent in the sequence of nodes -> policy of the edge; ``continue`` is drawn dashed."""

    state: str | None = None
    """The state in the database, also one that this release does not know; None draws a definition."""

    attempt: int = 0
    """Attempts made so far; shown from the second on."""

    kind: str = StepKind.JOB
    """What it runs on; shown by its shape and, except for a job, by a word."""

    child_id: int | None = None
    """The workflow it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    glyph: str
    fill: str
    line: str


# A glyph and a word show the state; colours only help (dark text on each: contrast above 7).
_LOOKS: Final[Mapping[str, _Look]] = {
    StepState.PENDING: _Look(glyph="○", fill="#f6f8fa", line="#6e7781"),
    StepState.AVAILABLE: _Look(glyph="●", fill="#ddf4ff", line="#0969da"),
    StepState.SCHEDULED: _Look(glyph="◷", fill="#ddf4ff", line="#0969da"),
    StepState.EXECUTING: _Look(glyph="▶", fill="#b6e3ff", line="#0550ae"),
    StepState.RETRYABLE: _Look(glyph="↻", fill="#fff8c5", line="#9a6700"),
    StepState.SUSPENDED: _Look(glyph="‖", fill="#fff8c5", line="#9a6700"),
    StepState.AWAITING_SIGNAL: _Look(glyph="◇", fill="#fbefff", line="#8250df"),
    StepState.COMPLETED: _Look(glyph="✔", fill="#dafbe1", line="#1a7f37"),
    StepState.DISCARDED: _Look(glyph="✘", fill="#ffebe9", line="#cf222e"),
    StepState.CANCELLED: _Look(glyph="⊘", fill="#eaeef2", line="#57606a"),
    StepState.EXPIRED: _Look(glyph="⧖", fill="#ffebe9", line="#a40e26"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    mermaid: tuple[str, str]
    dot: str


_BOX: Final = _Shape(mermaid=("[", "]"), dot="")
_SHAPES: Final[Mapping[str, _Shape]] = {
    StepKind.SIGNAL: _Shape(mermaid=("{{", "}}"), dot=", shape=hexagon"),
    StepKind.WORKFLOW: _Shape(mermaid=("[[", "]]"), dot=", peripheries=2"),
    StepKind.MAP: _Shape(mermaid=("[/", "/]"), dot=", shape=box3d"),
}
_UNKNOWN: Final = _Look(glyph="?", fill="#ffffff", line="#24292f")
_NAMELESS: Final = "(no name)"


def mermaid(nodes: Sequence[Node]) -> str:
    """The graph as a Mermaid flowchart, left to right; the same nodes give the same text.

    Args:
        nodes: In position order.
    """
    lines = ["flowchart LR"]
    for index, node in enumerate(nodes):
        label = "<br/>".join(_mermaid_text(line) if line else "" for line in _words(node))
        text = f"{_look(node).glyph} {label}" if node.state is not None else label
        opened, closed = _SHAPES.get(node.kind, _BOX).mermaid
        state = f":::{_class(node.state)}" if node.state is not None else ""
        lines.append(f'  n{index}{opened}"{text}"{closed}{state}')
    for parent, child, policy in _edges(nodes):
        lines.append(f"  n{parent} {'-.->' if policy == Policy.CONTINUE else '-->'} n{child}")
    for state in _states(nodes):
        look = _LOOKS.get(state, _UNKNOWN)
        lines.append(f"  classDef {_class(state)} fill:{look.fill},stroke:{look.line},color:#1f2328")
    return "\n".join(lines) + "\n"


def dot(nodes: Sequence[Node]) -> str:
    """The graph in Graphviz's DOT language, left to right; the same nodes give the same text.

    Args:
        nodes: In position order.
    """
    lines = [
        "digraph workflow {",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontcolor="#1f2328", fontname="sans-serif"];',
    ]
    for index, node in enumerate(nodes):
        label = "\\n".join(_dot_text(line) for line in _words(node))
        shape = _SHAPES.get(node.kind, _BOX).dot
        if node.state is None:
            lines.append(f'  n{index} [label="{label}"{shape}];')
        else:
            look = _look(node)
            style = f'{shape}, fillcolor="{look.fill}", color="{look.line}"'
            lines.append(f'  n{index} [label="{look.glyph} {label}"{style}];')
    for parent, child, policy in _edges(nodes):
        lines.append(f"  n{parent} -> n{child}{' [style=dashed]' if policy == Policy.CONTINUE else ''};")
    return "\n".join([*lines, "}"]) + "\n"


def _words(node: Node) -> list[str]:
    words = [as_label(node.name) or _NAMELESS]
    if node.state is not None:
        attempt = f", attempt {node.attempt}" if node.attempt > 1 else ""
        words.append(as_label(node.state).replace("_", " ") + attempt)
    if node.kind in _SHAPES:
        words.append(f"{node.kind} {node.child_id}" if node.child_id is not None else node.kind)
    return words


def _edges(nodes: Sequence[Node]) -> Iterable[tuple[int, int, str]]:
    for child, node in enumerate(nodes):
        for parent in sorted(node.parents):
            yield parent, child, node.parents[parent]


def _states(nodes: Sequence[Node]) -> list[str]:
    """One state for each look in use, in the order of the states' life."""
    in_use = {node.state for node in nodes if node.state is not None}
    unknown = sorted(in_use - set(_LOOKS))[:1]
    return [state for state in _LOOKS if state in in_use] + unknown


def _look(node: Node) -> _Look:
    return _LOOKS.get(node.state or "", _UNKNOWN)


def _class(state: str) -> str:
    return state if state in _LOOKS else "unknown"


def as_label(text: str) -> str:
    """A text with white space folded, and a replacement for each character that cannot be displayed."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


# Letters and digits of any script with single spaces, _, - and / between them. All else could mean
# something to Mermaid or to the Markdown it reads labels as (a dot makes lists and links).
_PLAIN: Final = re.compile(r"[^\W_](?:[ /_-]?[^\W_])*")


def _mermaid_text(text: str) -> str:
    """Text as a part of a quoted label; a character's code between # and ; stands for the character."""
    escaped: list[str] = []
    end = 0
    for plain in _PLAIN.finditer(text):
        escaped += [_mermaid_code(char) for char in text[end : plain.start()]]
        escaped.append(plain.group())
        end = plain.end()
    return "".join(escaped) + "".join(_mermaid_code(char) for char in text[end:])


def _mermaid_code(char: str) -> str:
    return char if char == " " else f"#{ord(char)};"


def _dot_text(text: str) -> str:
    # Labels know backslash escapes and HTML entities.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
