"""Serve consoles over HTTP with uvicorn until a signal says stop.

The rule that must never break: open streams do not keep the process from ending within 5 s.
"""

import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from ...privacy.logs import find_logger

GRACE: Final = 3
"""Seconds that requests have for their end after a signal."""

logger: Final = find_logger("oban_powertools.web")


class Server(uvicorn.Server):
    """uvicorn's, whose signals the program handles itself, so that it can close what it opened and exit as it likes.

    Args:
        told: Called when it answers.
    """

    def __init__(self, config: uvicorn.Config, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then says so."""
        await super().startup(sockets)
        self._told()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, but the signal does not end the process afterwards.

        The handler is uvicorn's own method: by that the streams find the server, and hear of its end.
        """
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def serve(app: ASGIApp, listening: socket.socket, *, root_path: str = "", told: Callable[[], None]) -> None:
    """Serve an app on a socket until SIGTERM or Ctrl+C.

    Args:
        root_path: The path under which a proxy that takes it away makes it known.
        told: Called when it answers.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whose address a request has is decided by the socket alone: only so can a proxy be trusted by its address.
        proxy_headers=False,
        root_path=root_path,
        timeout_graceful_shutdown=GRACE,
    )
    await Server(config, told).serve(sockets=[listening])
