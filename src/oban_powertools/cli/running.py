"""Run a worker process's event loop, and keep it running whatever a worker does to it.

What a worker raises is its attempt's outcome (``oban_attempts``). Tasks and callbacks that it leaves behind may still
raise ``SystemExit`` or stop the loop: then the loop is started again.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

from ..privacy.logs import find_logger

logger: Final = find_logger("oban_powertools.cli")


def run_to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in an event loop of its own until it ends, or until Ctrl-C before it handles that itself."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        while True:
            try:
                return loop.run_until_complete(task)
            except BaseException as error:
                if task.done() or _is_ctrl_c(error):
                    raise
                logger.exception("a worker's task or callback tried to end this process; the process goes on")


def _is_ctrl_c(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler
