"""How many streams there may be, and how long one lasts."""

from collections import Counter
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from starlette.exceptions import HTTPException

from ..config import check_fields


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
    """How often a comment goes out, so that nobody on the way takes a quiet stream for a dead one."""

    send_within: timedelta = timedelta(seconds=30)
    """How long a client may refuse to take what is sent before its stream is closed."""

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
