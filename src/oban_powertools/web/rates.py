"""How often one actor may ask for what costs or changes something, in one process.

Not for reads: their time and size are bounded. A host may pass other rates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..config import check_fields

_REMEMBERED: Final = 10_000
"""Buckets that are kept; the ones that were used longest ago are forgotten first, which only ever allows more."""


class Rate(StrEnum):
    """What is counted."""

    PREVIEW = "previews"
    EXECUTE = "executes"
    BULK = "bulks"
    CHANGE = "changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """At most so many a minute, of each actor; a whole minute's worth may come at once.

    Raises:
        InvalidSettingError: A rate is none.
    """

    previews: int = 30
    """Previews of repairs, of one target or of many."""

    executes: int = 10
    """Executed repairs."""

    bulks: int = 2
    """Executed bulk repairs."""

    changes: int = 60
    """Other changes: acknowledged incidents, notes, paused queues."""

    def __post_init__(self) -> None:
        check_fields(self)


class Buckets:
    """One token bucket for each actor and kind.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, rates: Rates, clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self._full_at: dict[tuple[str, Rate], float] = {}

    def take(self, actor_id: str, rate: Rate) -> int:
        """Take one token; the seconds to wait for the next when there is none, else 0."""
        now, apart = self._clock(), 60 / getattr(self._rates, rate)
        full_at = max(self._full_at.pop((actor_id, rate), now), now)
        empty = full_at - now > 60 - apart + 1e-9
        self._full_at[actor_id, rate] = full_at if empty else full_at + apart
        while len(self._full_at) > _REMEMBERED:
            del self._full_at[next(iter(self._full_at))]
        return math.ceil(full_at - now - 60 + apart) if empty else 0
