"""Check whether this process can import a worker.

The rule that must never break: an import runs code, so a worker that a row names is imported only when the caller asks
for it.
"""

from oban.worker import resolve_worker

from ..privacy.logs import format_error
from .blocker_finding import BlockerFinding
from .diagnosing import not_importable


def import_findings(worker: str) -> list[BlockerFinding]:
    """Import the worker as an executor would; one finding when that fails, else none."""
    try:
        resolve_worker(worker)
    except Exception as error:  # noqa: BLE001 (the imported module may raise anything)
        return [not_importable(worker, f"{type(error).__name__}: {format_error(error)}", by_executor=False)]
    return []
