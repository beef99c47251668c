"""The workflows that are measured, the same for us and for our peers (``bench.peers.lineup``).

W1: 200 chains of 10 steps. W2: 20 x (1, 100, 1). W3: 1 x (1, 2000, 1). W4: one chain of 10 at a time on an idle system.
"""

from collections.abc import Callable
from typing import Final

from bench.steps import NoOp
from oban_powertools import Workflow


def chain(size: int) -> Workflow:
    """Steps one after another."""
    workflow = Workflow("chain")
    last = workflow.add("s0", NoOp.new({"i": 0}))
    for i in range(1, size):
        last = workflow.add(f"s{i}", NoOp.new({"i": i}), deps=[last])
    return workflow


def fan(size: int) -> Workflow:
    """One step, then ``size`` at once, then one."""
    workflow = Workflow("fan")
    first = workflow.add("first", NoOp.new({"i": 0}))
    middle = [workflow.add(f"m{i}", NoOp.new({"i": i}), deps=[first]) for i in range(size)]
    workflow.add("last", NoOp.new({"i": size}), deps=middle)
    return workflow


def layers(depth: int, width: int, parents: int = 3) -> Workflow:
    """``depth`` layers of ``width`` steps; each needs ``parents`` neighbours of the layer above."""
    workflow = Workflow("layers")
    above = [workflow.add(f"0.{i}", NoOp.new({"i": i})) for i in range(width)]
    for layer in range(1, depth):
        above = [
            workflow.add(f"{layer}.{i}", NoOp.new({"i": i}), deps=[above[(i + k) % width] for k in range(parents)])
            for i in range(width)
        ]
    return workflow


def steps_in(workflows: list[Workflow]) -> int:
    return sum(len(workflow.steps) for workflow in workflows)


WORKLOADS: Final[dict[str, Callable[[], list[Workflow]]]] = {
    "W1": lambda: [chain(10) for _ in range(200)],
    "W2": lambda: [fan(100) for _ in range(20)],
    "W3": lambda: [fan(2000)],
}
