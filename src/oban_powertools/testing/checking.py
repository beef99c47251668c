"""Check a definition without a database: what ``insert`` would refuse, and what would fail in the worker's process."""

from collections.abc import Iterator
from typing import Any

from oban import Job
from oban.worker import resolve_worker

from ..config import PAYLOAD_LIMIT
from ..errors import Fault, InvalidWorkflowError
from ..privacy.logs import format_error
from ..upkeep.deploy_check import find_binding_fault, read_signature
from ..workflows.builder import Workflow, as_definition
from ..workflows.compile import compile_workflow
from ..workflows.runs import MapOver


def check(workflow: Workflow, *, payload_limit: int = PAYLOAD_LIMIT) -> None:
    """Check all of a definition that can be known without a database, and import its workers.

    Dependencies, cycles, references, JSON and its size, as ``insert`` does; and that every worker can be imported, and
    takes the args that it is given.

    Args:
        payload_limit: Bytes of JSON in one step's args, as ``Settings.payload_limit``.

    Raises:
        InvalidWorkflowError: Lists every fault, each with the step's name and a path.
    """
    definition = as_definition("workflow", workflow)
    compile_workflow(definition, payload_limit)
    if faults := list(_faults_of(definition, "")):
        raise InvalidWorkflowError(definition.name, faults)


def _faults_of(workflow: Workflow, path: str) -> Iterator[Fault]:
    for step in workflow.steps:
        name = f"{path}{step.name}"
        match step.runs:
            case Workflow() as nested:
                yield from _faults_of(nested, f"{name}.")
            case MapOver() as mapped:
                yield from _faults_of_job(mapped.job, name, step.added_at)
            case Job() as job:
                yield from _faults_of_job(job, name, step.added_at)
            case _:
                pass
    if workflow.on_finished is not None:
        yield from _faults_of_job(workflow.on_finished, f"{path}on_finished", None)


def _faults_of_job(job: Job, name: str, added_at: str | None) -> Iterator[Fault]:
    try:
        worker: Any = resolve_worker(job.worker)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the imported module may raise anything
        message = f"its worker cannot be imported: {format_error(error)}"
        yield Fault(code="worker_not_importable", message=message, step=name, added_at=added_at)
        return
    signature, fault = read_signature(worker)
    if fault is not None:
        message = f"its worker {job.worker} {fault}"
        yield Fault(code="worker_not_importable", message=message, step=name, added_at=added_at)
    elif signature is not None and (fault := find_binding_fault(signature, job.args)):
        message = f"{fault}: the worker is {job.worker.rpartition('.')[2]}{signature}"
        yield Fault(code="args_do_not_bind", message=message, step=name, path="args", added_at=added_at)
