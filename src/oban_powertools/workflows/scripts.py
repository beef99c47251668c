"""Warn of workers that other processes cannot import, because they are named after the script that runs here.

A script that works on its own queues gets no warning, and neither does one that is run twice.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..database.json_border import loads
from ..privacy.logs import find_logger
from .plan import WorkflowPlan

logger: Final = find_logger(__name__)

_SCRIPT: Final = "__main__."


def warn_of_scripts(plans: Sequence[WorkflowPlan], queues_here: Callable[[], Collection[str]]) -> None:
    """Log each worker defined in the script whose queue this process does not work on.

    Args:
        queues_here: The queues that this process works on; only called where there is such a worker.
    """
    queues = {worker: queue for plan in plans for worker, queue in _workers_of(plan) if worker.startswith(_SCRIPT)}
    if not queues:
        return
    here = queues_here()
    file = getattr(sys.modules["__main__"], "__file__", None)
    module = Path(file).stem if file else "a module"
    for worker, queue in queues.items():
        if queue not in here:
            logger.warning(
                "%s is stored under the name of the script that runs here, which no other process can import: "
                "import it from %s instead of running that file",
                worker,
                module,
            )


def _workers_of(plan: WorkflowPlan) -> Iterator[tuple[str, str | None]]:
    """Worker and queue of every job that the workflow, and those nested in it, may insert."""
    for step in plan.steps:
        if step.worker is not None:
            yield step.worker, step.queue
        if step.nested is not None:
            yield from _workers_of(step.nested)
    if plan.on_finished is not None and _SCRIPT in plan.on_finished:
        job = loads(plan.on_finished)
        yield job["worker"], job["queue"]
