"""Check whether the code about to be deployed can run the work that is under way.

Compares what is still to run (steps without a job, and unfinished jobs) with the workers in this process. The rule
that must never break: this imports the workers that rows name, as an executor would, so only a person's request runs
it, never a loop.
"""

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from oban.worker import resolve_worker

from ..database import Session, record
from ..privacy.logs import format_error
from ..wire import AsDict
from .doctor import Finding, Level

_UNBOUNDED: Final = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked(AsDict):
    """What a deploy check compared, and what it found."""

    workers: int
    """Workers that still have something to run."""

    steps: int
    """Steps, items' steps and jobs that are still to run."""

    findings: tuple[Finding, ...]
    """By worker; empty when the code gets on with all of it."""


async def check_deploy(session: Session, *, queues: Collection[str] | None, payload_limit: int) -> Checked:
    """Compare everything that is still to run with the code that this process can import.

    Args:
        session: Autocommit; read in one snapshot. Changes nothing.
        queues: Every queue that the new release works on, on whichever node; None: not compared.
        payload_limit: Bytes of JSON in one step's args, as the new release is set.
    """
    async with session.transaction():
        await session.one("doctor_limit", {"limit": _UNBOUNDED})
        semantics = await session.all("doctor_check_semantics")
        rows = await session.all("deploy_check_work")
    findings = [
        record(
            Finding,
            row,
            check="semantics",
            level=Level.ERROR,
            expected="semantics version 2",
            todo="ship the release of oban-powertools that wrote it",
        )
        for row in semantics
    ]
    workers = {worker: _Worker(worker) for worker in {row["worker"] for row in rows}}
    for row in rows:
        findings += workers[row["worker"]].faults(row)
        findings += _faults_of_the_rest(row, queues, payload_limit)
    return Checked(workers=len(workers), steps=sum(row["count"] for row in rows), findings=tuple(findings))


class _Worker:
    """A worker as this process knows it.

    Args:
        path: As a row names it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fault: str | None = None
        self._function: inspect.Signature | None = None
        try:
            worker: Any = resolve_worker(path)
            self._function, self._fault = read_signature(worker)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (the imported module may raise anything)
            self._fault = f"cannot be imported: {type(error).__name__}: {format_error(error)}"

    def faults(self, row: Mapping[str, Any]) -> Iterator[Finding]:
        """What keeps this work from running."""
        find = partial(_finding, row)
        if self._fault is not None:
            yield find(
                "worker",
                self._fault,
                "a worker with process(self, job)",
                "keep it, or an alias under the old name, until nothing names it any more",
            )
        elif self._function is not None and (fault := _binding_fault(self._function, row)):
            yield find(
                "arguments",
                f"{fault}; stored: ({', '.join(row['arguments'])})",
                f"{self._path.rpartition('.')[2]}{self._function}",
                "give new parameters a default, and keep those that are gone, until this work has run",
            )


def read_signature(worker: Any) -> tuple[inspect.Signature | None, str | None]:
    """What its args are bound to, for a function worker, and None for a class; and what is wrong with either."""
    process = getattr(worker, "process", None)
    if not (inspect.isclass(worker) and callable(process)):
        return None, "is no worker: it has no process"
    try:
        inspect.signature(process).bind(object(), object())
        inspect.signature(worker).bind()
    except TypeError as error:
        return None, f"cannot be called by Oban: {error}"
    # What @job makes of a function keeps the function in its `new`.
    function = getattr(getattr(worker, "new", None), "__wrapped__", None)
    return (inspect.signature(function) if function is not None else None), None


def _binding_fault(function: inspect.Signature, row: Mapping[str, Any]) -> str | None:
    return find_binding_fault(function, row["arguments"]) if row["args_are_object"] else "the args are no object"


def find_binding_fault(function: inspect.Signature, arguments: Iterable[str]) -> str | None:
    """Why these arguments do not fit a function worker; None when they do."""
    try:
        function.bind(**dict.fromkeys(arguments))
    except TypeError as error:
        return str(error)
    return None


def _faults_of_the_rest(row: Mapping[str, Any], queues: Collection[str] | None, limit: int) -> Iterator[Finding]:
    if queues is not None and row["queue"] not in queues:
        yield _finding(
            row,
            "queue",
            f"queue {row['queue']}",
            f"one of {', '.join(sorted(queues)) or 'none'}",
            "name it in --queues or oban.toml, on one node at least",
        )
    if row["kind"] != "job" and (row["longest"] or 0) > limit:
        yield _finding(
            row,
            "payload",
            f"{row['longest']} bytes of args",
            f"at most {limit}",
            "keep the larger payload_limit until this work has run",
        )


def _finding(row: Mapping[str, Any], check: str, found: str, expected: str, todo: str) -> Finding:
    many = "" if row["count"] == 1 else f" and {row['count'] - 1} more like it"
    return Finding(
        check=check,
        level=Level.ERROR,
        subject=f"worker {row['worker']} ({row['example']}{many})",
        found=found,
        expected=expected,
        todo=todo,
    )
