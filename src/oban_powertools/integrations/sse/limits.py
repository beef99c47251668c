"""Limits: how many streams are open, how long one lasts, and how fast one catches up."""

import asyncio
from collections import Counter
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from starlette.exceptions import HTTPException

from ...config import check_fields
from ...events.subscription import PAGE

_AT_ONCE: Final = 4
"""Pages of past events that a client gets without waiting after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Limits of the streams of one app in one process; the defaults suit production.

    Raises:
        InvalidSettingError: A limit is none.
    """

    streams: int = 200
    """Open streams; the next one is answered with 503."""

    streams_per_client: int = 20
    """Open streams of one client; the next one is answered with 429."""

    lasts_for: timedelta = timedelta(minutes=5)
    """Age at which a stream is closed, up to a fifth earlier by chance; the browser comes back with its cursor."""

    authorize_every: timedelta = timedelta(seconds=60)
    """How often an open stream is authorized again."""

    heartbeat_every: timedelta = timedelta(seconds=15)
    """How often a comment is sent, so that no proxy takes a quiet stream for a dead one."""

    send_within: timedelta = timedelta(seconds=30)
    """How long a client may leave data unread before its stream is closed."""

    past_per_second: int = 5000
    """Past events per second for one client, over all its streams; live events are not limited."""

    def __post_init__(self) -> None:
        check_fields(self)


class OpenStreams:
    """Counts the open streams of one process."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._by_client = Counter[Hashable]()
        self._count = 0

    @property
    def count(self) -> int:
        """How many are open."""
        return self._count

    @contextmanager
    def one_more(self, client: Hashable) -> Generator[None]:
        """Count a stream for as long as the context lasts.

        Args:
            client: Whose it is; None is not limited by client.

        Raises:
            HTTPException: 503 when the process has enough of them, 429 when the client has.
        """
        retry = {"Retry-After": "5"}
        if self._count >= self._limits.streams:
            raise HTTPException(503, "too many open streams", retry)
        if client is not None and self._by_client[client] >= self._limits.streams_per_client:
            raise HTTPException(429, "too many open streams of this client", retry)
        self._count += 1
        self._by_client[client] += 1
        try:
            yield
        finally:
            self._count -= 1
            self._by_client[client] -= 1
            self._by_client += Counter()  # drops those with none left


class Turns:
    """Paces a client's pages of past events: its turns come evenly, however often it reconnects."""

    def __init__(self, limits: StreamLimits) -> None:
        self._apart = PAGE / limits.past_per_second
        self._due: dict[Hashable, float] = {}

    async def take(self, client: Hashable) -> None:
        """Wait for the client's turn."""
        now = asyncio.get_running_loop().time()
        # A client that paused for long has saved up a few turns, not an unlimited number.
        due = max(self._due.pop(client, 0.0), now - (_AT_ONCE - 1) * self._apart)
        self._forget(now)
        self._due[client] = due + self._apart
        await asyncio.sleep(max(0.0, due - now))

    def _forget(self, now: float) -> None:
        """Drop clients whose turns are all saved up; the longest known come first."""
        for client in list(islice(self._due, 2)):
            if self._due[client] <= now - (_AT_ONCE - 1) * self._apart:
                del self._due[client]
