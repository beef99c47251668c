"""Read recorded workflows in WfFormat 1.5, strictly: a file is right, or the error says where it is not.

Source: the schema of WfFormat 1.5, as WfCommons publishes it with its instances.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

SCHEMA_VERSION = "1.5"
LONGEST_ID = 200
LONGEST_RUN = timedelta(days=365)


class MalformedError(Exception):
    """A file that is not a recorded workflow in WfFormat 1.5; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One recorded task."""

    id: str
    """Unique in its workflow."""

    seconds: float
    """How long it ran when it was recorded."""

    parents: tuple[str, ...]
    """Ids, in the file's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded workflow."""

    name: str
    """The file's name, without its ending."""

    tasks: Mapping[str, Task]
    """By id, parents before children."""

    @property
    def edges(self) -> int:
        return sum(len(task.parents) for task in self.tasks.values())

    def digests(self) -> dict[str, str]:
        """Id -> what its result must be, computed without running anything."""
        found: dict[str, str] = {}
        for task in self.tasks.values():
            found[task.id] = digest(task.id, [found[parent] for parent in task.parents])
        return found

    def longest_path(self) -> float:
        """Seconds that the recorded run times need on any number of machines."""
        ends: dict[str, float] = {}
        for task in self.tasks.values():
            ends[task.id] = task.seconds + max((ends[parent] for parent in task.parents), default=0.0)
        return max(ends.values())


def digest(task: str, parents: Sequence[str]) -> str:
    """Proves that a task had the results of all its parents, and theirs: SHA-256 of its id and their digests."""
    return hashlib.sha256("\n".join([task, *parents]).encode()).hexdigest()


def read(path: Path) -> Recording:
    """Read one file.

    Raises:
        MalformedError: It is not readable, not JSON, of another version, or its graph is faulty.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise MalformedError(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"is not JSON: {error}") from error
    version = _get(document, "", "schemaVersion", str)
    if version != SCHEMA_VERSION:
        raise MalformedError(f"schemaVersion is {version!r}; expected {SCHEMA_VERSION!r}")
    workflow = _get(document, "", "workflow", dict)
    tasks = _read_tasks(_get(workflow, "workflow", "specification", dict))
    seconds = _read_seconds(_get(workflow, "workflow", "execution", dict), tasks)
    found = {name: Task(id=name, seconds=seconds[name], parents=parents) for name, parents in tasks.items()}
    return Recording(name=path.stem, tasks={name: found[name] for name in _order(tasks)})


def _read_tasks(specification: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Id -> its parents; both directions of every edge have been compared."""
    listed = _get(specification, "workflow.specification", "tasks", list)
    if not listed:
        raise MalformedError("workflow.specification.tasks is empty")
    parents: dict[str, tuple[str, ...]] = {}
    children: dict[str, tuple[str, ...]] = {}
    for number, task in enumerate(listed):
        place = f"workflow.specification.tasks[{number}]"
        name = _get(task, place, "id", str)
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_ID:
            raise MalformedError(
                f"{place}.id is {name[:LONGEST_ID]!r}; expected 1 to {LONGEST_ID} printable characters"
            )
        if name in parents:
            raise MalformedError(f"{place}: another task has the id {name!r}")
        parents[name] = _names(task, place, "parents")
        children[name] = _names(task, place, "children")
    _compare(parents, children)
    return parents


def _compare(parents: Mapping[str, Iterable[str]], children: Mapping[str, Iterable[str]]) -> None:
    """Every edge leads to a task that exists, and is told by both of its ends."""
    for kind, named in (("parent", parents), ("child", children)):
        for name, others in named.items():
            if unknown := sorted(set(others) - set(parents)):
                raise MalformedError(f"task {name!r} names the {kind} {unknown[0]!r}, which does not exist")
    told_by_child = {(parent, child) for child, named in parents.items() for parent in named}
    told_by_parent = {(parent, child) for parent, named in children.items() for child in named}
    for parent, child in sorted(told_by_child ^ told_by_parent):
        teller, silent = (child, parent) if (parent, child) in told_by_child else (parent, child)
        raise MalformedError(f"task {teller!r} names an edge from {parent!r} to {child!r}, task {silent!r} does not")


def _read_seconds(execution: dict[str, Any], tasks: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, task in enumerate(_get(execution, "workflow.execution", "tasks", list)):
        place = f"workflow.execution.tasks[{number}]"
        name, seconds = _get(task, place, "id", str), _get(task, place, "runtimeInSeconds", (int, float))
        if isinstance(seconds, bool) or not 0 <= seconds <= LONGEST_RUN.total_seconds():
            raise MalformedError(f"{place}.runtimeInSeconds is {seconds!r}; expected 0 s up to a year")
        if name in found:
            raise MalformedError(f"{place}: task {name!r} has a run time already")
        found[name] = float(seconds)
    for name in tasks:
        if name not in found:
            raise MalformedError(f"workflow.execution.tasks has no run time of task {name!r}")
    if unknown := sorted(set(found) - set(tasks)):
        raise MalformedError(f"workflow.execution.tasks names {unknown[0]!r}, which is no task")
    return found


def _order(parents: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        raise MalformedError(f"the tasks depend on each other: {' -> '.join(error.args[1])}") from error


def _names(task: Any, place: str, key: str) -> tuple[str, ...]:
    named = _get(task, place, key, list)
    if not all(isinstance(name, str) for name in named):
        raise MalformedError(f"{place}.{key} is not a list of ids")
    if len(set(named)) != len(named):
        raise MalformedError(f"{place}.{key} names a task twice")
    return tuple(named)


def _get[T](holder: Any, place: str, key: str, kind: type[T] | tuple[type[T], ...]) -> T:
    """A member that has to be there, of a kind that has to be right."""
    if not isinstance(holder, dict):
        raise MalformedError(f"{place or 'the document'} is not an object")
    path = f"{place}.{key}".lstrip(".")
    if key not in holder:
        raise MalformedError(f"{path} is missing")
    if not isinstance(holder[key], kind):
        raise MalformedError(f"{path} has the wrong type: {type(holder[key]).__name__}")
    return holder[key]
