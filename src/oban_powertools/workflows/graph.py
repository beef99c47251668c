"""Graphs as lists of parents: compute depths, and find a cycle. Pure and linear.

Every edge leads from a smaller depth to a greater one; the database refuses rows for which that does not hold.
"""

from collections.abc import Sequence


def children_of(parents: Sequence[Sequence[int]]) -> list[list[int]]:
    """The children of each position, ascending, from the parents of each position."""
    children: list[list[int]] = [[] for _ in parents]
    for child, of_child in enumerate(parents):
        for parent in of_child:
            children[parent].append(child)
    return children


def depths(parents: Sequence[Sequence[int]]) -> list[int] | None:
    """Edges on the longest path from a root to each position; None when there is a cycle.

    Source: A. B. Kahn, Topological sorting of large networks, CACM 1962.
    """
    waiting = [len(of_child) for of_child in parents]
    depth_of = [0] * len(parents)
    children = children_of(parents)
    ready = [position for position, open_parents in enumerate(waiting) if not open_parents]
    for position in ready:
        for child in children[position]:
            depth_of[child] = max(depth_of[child], depth_of[position] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return depth_of if len(ready) == len(parents) else None


def find_cycle(parents: Sequence[Sequence[int]]) -> list[int]:
    """One cycle as positions along its edges, the first repeated at the end; empty without one."""
    visited = [False] * len(parents)
    for start in range(len(parents)):
        if visited[start]:
            continue
        path = [start]
        place = {start: 0}
        remaining = [iter(parents[start])]
        while path:
            parent = next(remaining[-1], None)
            if parent is None:
                visited[path[-1]] = True
                del place[path.pop()]
                remaining.pop()
            elif parent in place:
                return [parent, *reversed(path[place[parent] :])]
            elif not visited[parent]:
                place[parent] = len(path)
                path.append(parent)
                remaining.append(iter(parents[parent]))
    return []
