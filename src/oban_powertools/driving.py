"""Drive a coroutine of ours without an event loop: over a blocking connection none of its awaits waits.

What would need a loop all the same, a pause and a thread for long work, is asked for here. No I/O.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final

_DRIVEN: Final = ContextVar("_DRIVEN", default=False)


def drive[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread.

    Args:
        work: Awaits its connection, and what is in this module.

    Raises:
        RuntimeError: It awaited something else, such as an asynchronous policy that asks a server.
    """
    token = _DRIVEN.set(True)
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    finally:
        _DRIVEN.reset(token)
    work.close()
    message = (
        "a synchronous call has no event loop, but something in it awaited one: pass policies (authorize) that are "
        "plain functions"
    )
    raise RuntimeError(message)


async def pause(seconds: float) -> None:
    """Pause this call."""
    if _DRIVEN.get():
        time.sleep(seconds)  # noqa: ASYNC251 - no loop runs this coroutine
    else:
        await asyncio.sleep(seconds)


async def in_thread[T](work: Callable[[], T]) -> T:
    """Do long work in a thread, so that other tasks go on; here, where there are none."""
    return work() if _DRIVEN.get() else await asyncio.to_thread(work)
