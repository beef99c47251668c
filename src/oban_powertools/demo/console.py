"""The end of the demo at a terminal: the report cannot be delivered, and the console shows that and how to repair it.

Not for the census itself (``run``). The console is on loopback, for whoever is at this machine.
"""

import importlib
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final

from psycopg_pool import AsyncConnectionPool

from .. import Calls, Powertools, open_calls
from ..cli.values import this_user
from . import steps
from .screen import Screen
from .workers import WorkerProcess

PORT: Final = 8787
"""Tried first; else a free one is taken."""

SHOWN_AS: Final = "demo"


def is_installed() -> bool:
    """Whether the extra ``web`` is."""
    try:
        importlib.import_module("..web.alone.server", __package__)
        importlib.import_module("..web.alone.standalone", __package__)
    except ModuleNotFoundError:
        return False
    return True


async def show(
    powertools: Powertools, dsn: str, folder: Path, start_worker: Callable[[], WorkerProcess], screen: Screen
) -> None:
    """Let the delivery of the report fail, then serve the console until Ctrl+C; a worker runs what is repaired.

    Args:
        folder: Where the report is.
        start_worker: It ends when the stack around it does.
    """
    from ..web.alone.people import always
    from ..web.alone.server import serve
    from ..web.alone.standalone import LOOPBACK, Site, Standalone

    start_worker()
    await _fail(powertools, folder, screen)

    def opening() -> AbstractAsyncContextManager[Calls]:
        return open_calls(AsyncConnectionPool(dsn, open=False), authorize=_everybody_may)

    standalone = Standalone({SHOWN_AS: opening}, Site(actor=always(this_user()), hosts=LOOPBACK, environment="Demo"))
    with _listen() as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"

        def tell() -> None:
            screen.tell("console ", f"{address} shows this run; its incident can be repaired there. Ctrl+C leaves")

        try:
            await serve(standalone.app, listening, told=tell)
            screen.event("leaving: the worker and PostgreSQL are stopped")
        finally:
            await standalone.aclose()


async def _fail(powertools: Powertools, folder: Path, screen: Screen) -> None:
    """Deliver the report while the mail server is away; then it is back."""
    server = folder / "mail-server-is-up"
    server.unlink(missing_ok=True)
    delivery = steps.delivery(folder / "census.md", server)
    handle = await powertools.workflows.insert(delivery)
    screen.event(f"workflow {handle.id}, the {delivery.name}, mails the report to {len(steps.READERS)} readers")
    await powertools.workflows.wait(handle.id)
    await powertools.lifeline.project_incidents()
    screen.event("no mail could be sent: the mail server was down (on purpose), which is an incident", "red")
    server.touch()
    screen.event("the mail server is up again: what failed can be retried", "green")


def _everybody_may(*_: object) -> bool:
    return True


def _listen() -> socket.socket:
    with suppress(OSError):
        return socket.create_server(("127.0.0.1", PORT))
    return socket.create_server(("127.0.0.1", 0))
