"""Keep the last layouts: who looks at a large graph again, or goes on looking at it, does not wait for it again.

A layout depends on no state of a step, so one serves every viewer and every moment of a run. The rule that must never
break: what is kept is what ``lay_out`` would return.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from typing import Final

from .flow import Flow, Spacing, lay_out
from .mesh import Edge

MOST_BOXES: Final = 40_000
"""Boxes of all layouts that are kept together; a layout holds about 1 kB for each."""

LEAST_BOXES: Final = 100
"""Boxes of a layout that is worth keeping."""


class Layouts:
    """The layouts that were asked for last; of any thread.

    Args:
        most_boxes: Boxes of all that are kept together.
    """

    def __init__(self, most_boxes: int = MOST_BOXES) -> None:
        self._most_boxes = most_boxes
        self._kept: OrderedDict[Hashable, Flow] = OrderedDict()
        self._boxes = 0
        self._lock = threading.Lock()

    def lay_out(
        self,
        sizes: Sequence[tuple[float, float]],
        parents: Sequence[Sequence[int]],
        spacing: Spacing,
        *,
        dashed: Collection[Edge] = (),
        wanted: Collection[Edge] = (),
    ) -> Flow:
        """As ``flow.lay_out``, whose result nobody changes."""
        if len(sizes) < LEAST_BOXES:
            return lay_out(sizes, parents, spacing, dashed=dashed, wanted=wanted)
        key = (tuple(sizes), tuple(map(tuple, parents)), spacing, frozenset(dashed), frozenset(wanted))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        flow = lay_out(sizes, parents, spacing, dashed=dashed, wanted=wanted)
        with self._lock:
            self._keep(key, flow)
        return flow

    def _keep(self, key: Hashable, flow: Flow) -> None:
        if key not in self._kept:
            self._boxes += len(flow.starts)
        self._kept[key] = flow
        while self._boxes > self._most_boxes:
            _, oldest = self._kept.popitem(last=False)
            self._boxes -= len(oldest.starts)
