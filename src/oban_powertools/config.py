"""Settings with their defaults and units, and the names of the two schemas.

The rule that must never break: a schema name is pasted into SQL, so it is checked here first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Final, Literal

from .arguments import LONGEST, as_count, as_flag, as_span, as_text, refuse
from .errors import InvalidArgumentError, InvalidSettingError

PAYLOAD_LIMIT: Final = 1024 * 1024
"""Bytes of JSON in one step's args or result."""

CONTEXT_LIMIT: Final = 8 * 1024
"""Bytes of JSON in a workflow's context; it travels in the meta of every job."""

RETENTION: Final[Mapping[str, timedelta | None]] = {
    "workflows": timedelta(days=30),
    "signals": timedelta(days=30),
    "rescues": timedelta(days=30),
    "late_results": timedelta(days=90),
    "audit": timedelta(days=365),
    "incidents": timedelta(days=90),
    "previews": timedelta(days=7),
    "bulks": timedelta(days=7),
    "executors": timedelta(days=7),
    "settle_faults": timedelta(days=30),
    "archive": None,
    "prune_runs": timedelta(days=365),
}
"""Class of records -> how long it is kept; None for ever."""

type RescueMode = Literal["automatic", "operator"]
"""Whether the jobs of executors that are gone run again by themselves."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,30}")


def check_fields(settings: Any) -> None:
    """Refuse what is not of a setting's type, or could only stop a loop or keep it from ever pausing.

    Args:
        settings: A dataclass of plain fields.

    Raises:
        InvalidSettingError: Names the field.
    """
    for setting in fields(settings):
        try:
            _check(setting.name, setting.type, getattr(settings, setting.name))
        except InvalidArgumentError as error:
            raise InvalidSettingError(error.argument, error.found, error.expected) from None


def _check(name: str, kind: Any, found: object) -> None:
    if kind is timedelta:
        # The smallest time there is to wait; an age may be 0.
        as_span(name, found, least=timedelta(milliseconds=name.endswith("_every")), most=LONGEST)
    elif kind is int:
        as_count(name, found)
    elif kind is bool:
        as_flag(name, found)
    elif kind is str or (kind == str | None and found is not None):
        as_text(name, found)
    elif kind != str | None and not isinstance(found, Mapping):
        raise refuse(name, found, "a dict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Where the tables are.

    Raises:
        InvalidSettingError: A name is not a plain lower-case identifier of at most 31 characters.
    """

    schema: str = "powertools"
    """Our schema."""

    prefix: str = "public"
    """Oban's schema, which Oban calls prefix."""

    def __post_init__(self) -> None:
        for setting, name in (("schema", self.schema), ("prefix", self.prefix)):
            if type(name) is not str or not _NAME.fullmatch(name):
                raise InvalidSettingError(
                    setting, repr(name), "a lower-case name of letters, digits and _, at most 31 characters"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one Powertools instance behaves; the defaults suit production.

    Raises:
        InvalidSettingError: Settings of the lifeline that cannot work, or not together.
    """

    payload_limit: int = PAYLOAD_LIMIT
    """Bytes of JSON in one step's args or result; above it the insert or the attempt is refused."""

    sweep_every: timedelta = timedelta(seconds=1)
    """How often this node looks for what no trigger could see."""

    sweep_batch: int = 5000
    """Steps one sweep compares with their jobs."""

    pool_size: int = 4
    """Most connections of the pool of our own."""

    listen: bool = True
    """Whether a process with subscribers listens for notifications; without, they are only polled for."""

    listen_dsn: str | None = None
    """Where to listen, when the pool's way to the database is a pooler in transaction mode; None for the pool's."""

    events_poll_every: timedelta = timedelta(seconds=1)
    """How often a process with subscribers looks for events that no notification told of."""

    events_poll_alone_every: timedelta = timedelta(milliseconds=100)
    """The same, while notifications do not arrive."""

    events_kept_for: timedelta = timedelta(days=7)
    """How long events can be read; older ones are removed by the sweep."""

    webhook_queue: str = "powertools_webhooks"
    """The queue of the jobs that deliver webhooks; some node has to work on it."""

    webhook_source: str = "/oban-powertools"
    """The CloudEvents ``source`` of what webhooks send: a URI that tells this installation from others."""

    executor_gone_after: timedelta = timedelta(seconds=15)
    """An executor of this process that has not beaten for so long is gone, and its jobs are rescued; it beats five
    times as often."""

    executor_late_after: timedelta = timedelta(seconds=45)
    """Age of its last beat, or of its event loop's last answer, from which an executor is shown as late."""

    executor_missing_after: timedelta = timedelta(seconds=120)
    """Age of its last beat from which an executor is shown as missing."""

    rescue: Mapping[str, RescueMode] = field(default_factory=dict[str, RescueMode])
    """Queue, or ``*`` for all others -> whether its jobs are rescued by themselves (``automatic``, which is also the
    default) or left to an operator (``operator``). The same on every node."""

    rescue_unknown_after: timedelta = timedelta(seconds=300)
    """Age from which an attempt is rescued whose executor nobody knows, such as that of an Oban without Powertools."""

    incidents_every: timedelta = timedelta(seconds=5)
    """How often some node looks for incidents."""

    incident_failing_for: timedelta = timedelta(minutes=10)
    """The window in which failing jobs are counted; without a failure for so long, ``failing_jobs`` is resolved."""

    incident_failing_count: int = 5
    """Jobs of one worker that failed with one error class within the window, from which they are an incident."""

    incident_stuck_after: timedelta = timedelta(minutes=5)
    """How long a step may be ready in a queue on which nobody works before that is an incident."""

    retention: Mapping[str, timedelta | None] = field(default_factory=dict[str, timedelta | None])
    """Class of records -> how long it is kept after its end, None for ever; other classes as in ``RETENTION``. The same
    on every node."""

    def __post_init__(self) -> None:
        check_fields(self)
        self._require("executor_gone_after", self.executor_gone_after >= timedelta(seconds=1), "1 s at least")
        ordered = timedelta(0) < self.executor_late_after <= self.executor_missing_after
        self._require("executor_late_after", ordered, "more than 0 and at most executor_missing_after")
        self._require("incident_failing_for", self.incident_failing_for > timedelta(0), "more than 0")
        self._require("incident_failing_count", self.incident_failing_count > 0, "at least 1")
        self._require("rescue_unknown_after", self.rescue_unknown_after > timedelta(0), "more than 0")
        self._require("rescue", {*self.rescue.values()} <= {"automatic", "operator"}, "queues -> automatic or operator")

    def _require(self, setting: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InvalidSettingError(setting, str(getattr(self, setting)), expected)
