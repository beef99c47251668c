"""The glyphs of states and kinds: each is told from the others by its silhouette, without its colour.

On a grid of 16. Filled shapes ask for a person, stand still, or run; outlines wait; strokes without an outline have
ended. The console's sprite and a drawing on its own are made of these.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ..states import OperatorStatus, StepKind, StepState, WorkflowState

_LINE: Final = 'fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"'
_RING: Final = "M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 0 1 0-12.5"
_FILL: Final = 'fill="currentColor" fill-rule="evenodd"'


def _line(width: float, path: str) -> str:
    return f'<path {_LINE} stroke-width="{width}" d="{path}"/>'


GLYPHS: Final[Mapping[str, str]] = {
    "needs-review": f'<path {_FILL} d="M8 1.5 15.2 14H.8zM7.2 6v4h1.6V6zm0 5.2v1.5h1.6v-1.5z"/>',
    "blocked": f'<path {_FILL} d="M5.1 1.5h5.8l3.6 3.6v5.8l-3.6 3.6H5.1l-3.6-3.6V5.1zM4.4 7v2h7.2V7z"/>',
    "waiting": _line(1.5, _RING + "M8 4.5V8l2.4 1.6"),
    "pending": f'<circle {_LINE} stroke-width="1.6" cx="8" cy="8" r="6" stroke-dasharray="1.6 3.1"/>',
    "retryable": _line(1.6, "M13.3 9.4a5.5 5.5 0 1 1-.6-4.3M13.2 1.9v3.4H9.8"),
    "signal": _line(1.6, "M2.5 2.5a11 11 0 0 1 11 11M2.5 7.2a6.3 6.3 0 0 1 6.3 6.3M3.4 12.4v.2"),
    "held": f'<path {_FILL} d="M3.2 2.5h3.3v11H3.2zM9.5 2.5h3.3v11H9.5z"/>',
    "runnable": _line(1.8, "m3 3.5 4.5 4.5L3 12.5M8.5 3.5 13 8l-4.5 4.5"),
    "running": f'<path {_FILL} d="M8 1.2a6.8 6.8 0 1 1 0 13.6A6.8 6.8 0 0 1 8 1.2M6.2 4.6v6.8L11.8 8z"/>',
    "completed": _line(2, "m2.5 8.5 3.7 3.7 7.3-8.4"),
    "discarded": _line(2, "m3.5 3.5 9 9m0-9-9 9"),
    "cancelled": _line(1.5, _RING + "M3.7 12.3l8.6-8.6"),
    "expired": _line(
        1.5, "M3.5 1.75h9m-9 12.5h9M4.5 2c0 3.4 3.5 4.1 3.5 6s-3.5 2.6-3.5 6M11.5 2c0 3.4-3.5 4.1-3.5 6s3.5 2.6 3.5 6"
    ),
    "unknown": _line(1.8, "M4.8 5.3c0-2 1.4-3 3.2-3s3.2 1.1 3.2 2.8C11.2 7.5 8 7.6 8 10m0 3.2v.1"),
    "map": _line(1.4, "M2 6h8v8H2zM4.6 3.8h7.6v7.6M7.2 1.6h7.2v7.2"),
    "workflow": _line(1.4, "M1.8 2.5h12.4v11H1.8zM4.6 5.3h3.2v2.4H4.6zM8.4 8.7h3.2v2.2H8.4z"),
    "open": _line(1.6, "M8 3.5v9M3.5 8h9"),
    "close": _line(1.6, "M3.5 8h9"),
}
"""Name -> what is drawn."""

_OF_STATE: Final[Mapping[str, str]] = {
    StepState.PENDING: "pending",
    StepState.RETRYABLE: "retryable",
    StepState.AWAITING_SIGNAL: "signal",
    StepState.SUSPENDED: "held",
    StepState.COMPLETED: "completed",
    StepState.DISCARDED: "discarded",
    StepState.CANCELLED: "cancelled",
    StepState.EXPIRED: "expired",
    WorkflowState.FAILED: "discarded",
}

_OF_WORD: Final[Mapping[OperatorStatus, str]] = {
    OperatorStatus.NEEDS_REVIEW: "needs-review",
    OperatorStatus.BLOCKED: "blocked",
    OperatorStatus.RUNNABLE: "runnable",
    OperatorStatus.RUNNING: "running",
}

_OF_KIND: Final[Mapping[str, str]] = {StepKind.MAP: "map", StepKind.WORKFLOW: "workflow", StepKind.SIGNAL: "signal"}


def state_glyph(word: OperatorStatus, state: str) -> str:
    """The glyph of a state: that of the operator's word where it leads, else of why it waits or how it ended."""
    other = "unknown" if word is OperatorStatus.FINISHED else "waiting"
    return _OF_WORD.get(word) or _OF_STATE.get(state, other)


def kind_glyph(kind: str) -> str | None:
    """The glyph of what a step runs on; None for a job."""
    return _OF_KIND.get(kind)


def symbols(names: Iterable[str], prefix: str = "") -> str:
    """Definitions that ``<use>`` can name, each once, in the order of the table."""
    wanted = set(names)
    return "".join(
        f'<symbol id="{prefix}{name}" viewBox="0 0 16 16">{shape}</symbol>'
        for name, shape in GLYPHS.items()
        if name in wanted
    )
