"""The Powertools of the process that runs a worker, for calls from inside that worker.

The rule that must never break: what a worker gets here is its process's own, so that nothing is opened beside it.
"""

import asyncio
from typing import Final

from oban import current_job

from .errors import NotInWorkerError
from .powertools import Powertools
from .runtime.oban_attachment import Attachment
from .runtime.oban_hooks import find_attachment

_ON_ITS_LOOP: Final = (
    "this is not the event loop of that process; in a plain function, or another thread, call "
    "oban_powertools.sync.current_sync_calls()"
)

_ELSEWHERE: Final = (
    "; a function in a process of its own (functions_in) opens calls: oban_powertools.sync.open_sync_calls"
)


def current_powertools() -> Powertools:
    """The Powertools of the process that runs this worker, for an asynchronous worker.

        await current_powertools().workflows.insert(workflow)

    A plain function calls ``oban_powertools.sync.current_sync_calls``.

    Raises:
        NotInWorkerError: No attempt runs here, or not on the event loop.
    """
    attachment, powertools = find_here()
    if attachment.loop is not _running_loop():
        raise NotInWorkerError(_ON_ITS_LOOP)
    return powertools


def find_here() -> tuple[Attachment, Powertools]:
    """What runs the attempt whose worker calls.

    Raises:
        NotInWorkerError: No attempt runs here.
    """
    if (job := current_job()) is None:
        raise NotInWorkerError("no worker runs here; a program opens its own")
    try:
        attachment = find_attachment(job)
    except LookupError:
        raise NotInWorkerError(
            f"this process does not run job {job.id} for Powertools, or not any more{_ELSEWHERE}"
        ) from None
    if not isinstance(attachment.owner, Powertools) or attachment.loop is None:
        raise NotInWorkerError("Powertools is attached to this Oban, but not entered: async with powertools")
    return attachment, attachment.owner


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
