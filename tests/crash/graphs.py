"""Shapes of workflows, and what random ones must end as."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from oban_powertools import Workflow
from oban_powertools.workflows.builder import PolicyName
from tests.crash.steps import finished, step

OUTCOMES = ["ok"] * 14 + ["retry", "snooze", "cancel", "discard"]
POLICIES: list[PolicyName] = ["cancel", "continue"]


@dataclass(kw_only=True)
class Graph:
    """A workflow, and how it must end whatever happens to the processes that run it."""

    workflow: Workflow
    states: list[str] = field(default_factory=list[str])
    """Of the steps in their order."""
    results: dict[str, int] = field(default_factory=dict[str, int])
    """Of the completed steps."""
    runs: dict[str, int] = field(default_factory=dict[str, int])
    """How often the code of a step starts when nothing is killed; without those that never run."""

    def add(self, outcome: str, parents: Mapping[int, PolicyName]) -> None:
        """Add a step; parents: position -> policy."""
        names = [f"s{parent}" for parent in parents]
        name = f"s{len(self.states)}"
        job = step(outcome, inputs=[Workflow.result(parent) for parent in names])
        self.workflow.add(name, job, deps=dict(zip(names, parents.values(), strict=True)))
        if any(self.states[parent] != "completed" for parent, policy in parents.items() if policy == "cancel"):
            self.states.append("cancelled")
            return
        self.runs[name] = 2 if outcome in ("retry", "snooze") else 1
        self.states.append({"cancel": "cancelled", "discard": "discarded"}.get(outcome, "completed"))
        if self.states[-1] == "completed":
            self.results[name] = 1 + sum(self.results.get(parent, 0) for parent in names)


def chain(length: int) -> Graph:
    """s0 -> s1 -> ...; each returns its place, from 1."""
    graph = Graph(workflow=Workflow("chain"))
    for position in range(length):
        graph.add("ok", {position - 1: "cancel"} if position else {})
    return graph


def fan(width: int) -> Graph:
    """One step, then so many beside each other, then one that adds them up."""
    graph = Graph(workflow=Workflow("fan"))
    graph.add("ok", {})
    for _ in range(width):
        graph.add("ok", {0: "cancel"})
    graph.add("ok", dict.fromkeys(range(1, width + 1), "cancel"))
    return graph


def random_graph(chance: random.Random, size: int) -> Graph:
    """Steps that complete, retry, snooze, are cancelled or discarded; edges of both policies; references."""
    graph = Graph(workflow=Workflow("random", on_finished=finished()))
    for position in range(size):
        parents = chance.sample(range(position), min(position, chance.randint(0, 3)))
        graph.add(chance.choice(OUTCOMES), {parent: chance.choice(POLICIES) for parent in parents})
    return graph
