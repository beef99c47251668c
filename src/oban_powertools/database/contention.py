"""Retry a transaction that failed because of another session.

Not for lost connections (``sqlstates`` tells the two apart).
"""

import functools
import random
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg

from ..driving import pause
from .sqlstates import Trouble, find_trouble

_TRIES: Final = 5


class BeginAgainError(Exception):
    """The rows that a transaction reads changed before it locked them: it has to begin again."""


def begin_again[**P, T](work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Run a whole transaction, and run it again when another session was in its way: five times at most.

    Args:
        work: Opens the transaction, and does the same each time.
    """

    @functools.wraps(work)
    async def trying(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, _TRIES):
            try:
                return await work(*args, **kwargs)
            except (psycopg.Error, BeginAgainError) as error:
                if isinstance(error, psycopg.Error) and find_trouble(error) is not Trouble.CONTENDED:
                    raise
                await pause(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - jitter
        return await work(*args, **kwargs)

    return trying
