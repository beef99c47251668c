"""The settings with their defaults and units, and the names of the two schemas.

The rule that must never break: a schema name is checked here before it is put into SQL text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Literal, assert_never, cast, get_args

import orjson
from oban import Job

from .arguments import LONGEST, as_count, as_flag, as_span, as_text, refuse
from .errors import InvalidArgumentError, InvalidSettingError
from .spelling import did_you_mean, one_of

__all__ = ["Around", "FunctionHome", "Names", "RescueMode", "Settings", "SharedValue"]

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

type FunctionHome = Literal["thread", "process"]
"""Where the plain functions of a queue run: in threads of this process, or each in a process of its own."""

type SharedValue = timedelta | int | Mapping[str, RescueMode] | None
"""The value of a shared setting: a span of time, None for ever; a count; queue or ``*`` -> how it is rescued."""


type Around = Callable[[Job], AbstractContextManager[Any]]
"""Gives for a job what is entered around its plain function, in the same thread."""


class SharedKind(StrEnum):
    """The type of a shared setting."""

    SPAN = "span"
    """A duration."""

    SPAN_OR_FOREVER = "span_or_forever"
    """A duration; None for ever."""

    COUNT = "count"
    """A number."""

    RESCUE_MODES = "rescue_modes"
    """Queue or ``*`` -> how its jobs are rescued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSetting:
    """A setting that is one row of the database, because it must be equal on all nodes."""

    kind: SharedKind
    """The type of its value."""

    default: SharedValue
    """Its value until somebody sets it; the migration inserts the same."""

    least: timedelta = timedelta(microseconds=1)
    """The shortest duration it accepts."""

    def check(self, name: str, value: object) -> SharedValue:
        """Check a value and return it.

        Raises:
            InvalidArgumentError: It cannot.
        """
        match self.kind:
            case SharedKind.SPAN_OR_FOREVER if value is None:
                return None
            case SharedKind.SPAN | SharedKind.SPAN_OR_FOREVER:
                return as_span(name, value, least=self.least, most=LONGEST)
            case SharedKind.COUNT:
                return as_count(name, value)
            case SharedKind.RESCUE_MODES:
                return _as_rescue_modes(name, value)
            case _:
                assert_never(self.kind)

    def to_row(self, value: SharedValue) -> float | Mapping[str, str] | None:
        """The value as the row stores it, JSON-safe: a duration in seconds."""
        return value.total_seconds() if isinstance(value, timedelta) else value

    def from_row(self, value: Any) -> SharedValue:
        """The value of a row."""
        match self.kind:
            case SharedKind.SPAN | SharedKind.SPAN_OR_FOREVER:
                return None if value is None else timedelta(seconds=value)
            case SharedKind.COUNT | SharedKind.RESCUE_MODES:
                return value
            case _:
                assert_never(self.kind)


def _as_rescue_modes(name: str, value: object) -> Mapping[str, RescueMode]:
    return cast("Mapping[str, RescueMode]", _as_choices(name, value, get_args(RescueMode.__value__)))


def _as_choices(name: str, value: object, choices: tuple[str, ...]) -> dict[str, str]:
    """A dict of queue, or ``*``, -> one of two words."""
    expected = f"queues -> {' or '.join(choices)}"
    if not isinstance(value, Mapping):
        raise refuse(name, value, f"a dict, {expected}")
    chosen = dict(cast("Mapping[Any, Any]", value))
    if wrong := [word for queue, word in chosen.items() if not isinstance(queue, str) or word not in choices]:
        raise refuse(name, chosen, f"{expected}{did_you_mean(wrong[0], choices)}")
    return chosen


def import_name_of(function: Any) -> str | None:
    """What finds a function in another process, ``module:name``; None for one that only this process has."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__" or "<" in name:
        return None
    return f"{module}:{name}"


_SPAN: Final = SharedKind.SPAN

SHARED: Final[Mapping[str, SharedSetting]] = {
    "rescue": SharedSetting(kind=SharedKind.RESCUE_MODES, default={}),
    "rescue_unknown_after": SharedSetting(kind=_SPAN, default=timedelta(seconds=300)),
    "incident_failing_for": SharedSetting(kind=_SPAN, default=timedelta(minutes=10)),
    "incident_failing_count": SharedSetting(kind=SharedKind.COUNT, default=5),
    "incident_stuck_after": SharedSetting(kind=_SPAN, default=timedelta(minutes=5)),
    "incident_unclaimed_after": SharedSetting(kind=_SPAN, default=timedelta(hours=1)),
    "incident_hung_after": SharedSetting(kind=_SPAN, default=timedelta(minutes=5)),
    "incident_hung_factor": SharedSetting(kind=SharedKind.COUNT, default=10),
    "incident_hung_unknown_after": SharedSetting(kind=_SPAN, default=timedelta(hours=2)),
    "incident_queue_late_after": SharedSetting(kind=_SPAN, default=timedelta(minutes=10)),
    "events_kept_for": SharedSetting(kind=_SPAN, default=timedelta(days=7)),
    **{
        f"retention.{name}": SharedSetting(
            kind=SharedKind.SPAN_OR_FOREVER, default=kept_for, least=timedelta(minutes=1)
        )
        for name, kept_for in RETENTION.items()
    },
}
"""Every shared setting. Any other setting applies only to the process that was started with it. Each row has its
default in ``powertools.settings`` from the installation on; ``upkeep.settings`` says who may set it."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,30}")


def check_fields(settings: Any) -> None:
    """Refuse a value of a wrong type, and one that would stop a loop or keep it from ever pausing.

    Args:
        settings: A dataclass of plain fields.

    Raises:
        InvalidSettingError: Names the field.
    """
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        try:
            checked = _check(setting.name, setting.type, value)
        except InvalidArgumentError as error:
            raise InvalidSettingError(error.argument, error.found, error.expected) from None
        if checked is not value:
            object.__setattr__(settings, setting.name, checked)  # it is frozen, and still being made


def _check(name: str, kind: Any, value: object) -> object:
    """The value; seconds as a span."""
    if (name in SHARED and name != "rescue") or (name == "function_threads" and value is None):
        return value  # a shared setting is checked by its own type
    if kind is timedelta:
        # An interval or a limit must be positive; an age may be 0.
        return as_span(name, value, least=timedelta(milliseconds=name.endswith(("_every", "_within"))), most=LONGEST)
    if kind in (int, int | None):
        as_count(name, value)
    elif kind is bool:
        as_flag(name, value)
    elif kind is str or (kind == str | None and value is not None):
        as_text(name, value)
    elif kind == Mapping[str, FunctionHome]:
        return _as_choices(name, value, get_args(FunctionHome.__value__))
    elif kind == Sequence[Around]:
        _check_around(name, value)
    elif kind != str | None and not isinstance(value, Mapping):
        raise refuse(name, value, "a dict")
    return cast("object", value)


def _check_around(name: str, value: object) -> None:
    is_list = isinstance(cast("Any", value), list | tuple)
    if not is_list or not all(callable(function) for function in cast("Sequence[object]", value)):
        raise refuse(name, value, "a list of functions (job) -> context manager")


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
    """The settings of one Powertools instance; the defaults suit production.

    A duration may be a number of seconds. Those in ``SHARED`` must be equal on all nodes, so they are rows of the
    database. A value passed here sets such a row unless it is already set; afterwards the row counts, and a process
    with another value logs a warning.

    Raises:
        InvalidSettingError: Settings of the lifeline that cannot work, or not together.
    """

    payload_limit: int = PAYLOAD_LIMIT
    """Bytes of JSON in one step's args or result; above it the insert or the attempt is refused."""

    sweep_every: timedelta = timedelta(seconds=1)
    """How often this node sweeps: looks for changes that no trigger could see."""

    sweep_batch: int = 5000
    """Steps one sweep compares with their jobs."""

    pool_size: int = 4
    """Most connections of our own pool."""

    function_threads: int | None = None
    """Most threads in which workers that are plain functions run; None for twice as many as the queues of this process
    may run jobs."""

    functions_in: Mapping[str, FunctionHome] = field(default_factory=dict[str, FunctionHome])
    """Queue, or ``*`` for all others -> whether its plain functions run in threads (``thread``, which is also the
    default), or each in a process of its own (``process``), which can be stopped."""

    around_functions: Sequence[Around] = ()
    """Each gives for a job a context manager, which is entered around its plain function, in the same thread or
    process; the first is the outermost."""

    listen: bool = True
    """Whether a process with subscribers listens for notifications; if not, it only polls."""

    listen_dsn: str | None = None
    """DSN to listen on, where the pool connects through a pooler in transaction mode; None uses the pool's."""

    events_poll_every: timedelta = timedelta(seconds=1)
    """How often a process with subscribers polls for events while notifications arrive."""

    events_poll_alone_every: timedelta = timedelta(milliseconds=100)
    """The same, while notifications do not arrive."""

    events_kept_for: timedelta | None = None
    """How long events can be read; older ones are removed by the sweep. Shared, at first 7 days."""

    webhook_queue: str = "powertools_webhooks"
    """The queue of the jobs that deliver webhooks; some node has to work on it."""

    webhook_source: str = "/oban-powertools"
    """The CloudEvents ``source`` of webhook messages: a URI that identifies this installation."""

    executor_gone_after: timedelta = timedelta(seconds=15)
    """An executor of this process without a heartbeat for so long is gone, and its jobs are rescued; it sends five in
    that time."""

    executor_late_after: timedelta = timedelta(seconds=45)
    """Age of its last heartbeat, or of its event loop's last answer, from which an executor counts as late."""

    executor_missing_after: timedelta = timedelta(seconds=120)
    """Age of its last heartbeat from which an executor counts as missing."""

    rescue: Mapping[str, RescueMode] = field(default_factory=dict[str, RescueMode])
    """Queue, or ``*`` for all others -> whether its jobs are rescued by themselves (``automatic``, which is also the
    default) or left to an operator (``operator``). Shared."""

    rescue_unknown_after: timedelta | None = None
    """Age from which an attempt of an unknown executor, such as an Oban without Powertools, is rescued.
    Shared, at first 5 minutes."""

    incidents_every: timedelta = timedelta(seconds=5)
    """How often some node projects incidents."""

    incident_failing_for: timedelta | None = None
    """The window in which failing jobs are counted; without a failure for so long, ``failing_jobs`` is resolved.
    Shared, at first 10 minutes."""

    incident_failing_count: int | None = None
    """So many jobs of one worker that fail with one error class within the window are an incident. Shared,
    at first 5."""

    incident_stuck_after: timedelta | None = None
    """How long a job may be due in a queue without an executor, or a webhook's delivery, before that is an incident.
    Shared, at first 5 minutes."""

    incident_unclaimed_after: timedelta | None = None
    """How long a signal may be stored without a wait that takes it before that is an incident. Shared, at first an
    hour."""

    incident_hung_after: timedelta | None = None
    """No attempt that is younger counts as hung. Shared, at first 5 minutes."""

    incident_hung_factor: int | None = None
    """An attempt counts as hung after so many times the median of its worker's. Shared, at first 10."""

    incident_hung_unknown_after: timedelta | None = None
    """The age from which an attempt counts as hung whose worker has completed fewer than 20 lately. Shared, at first 2
    hours."""

    incident_queue_late_after: timedelta | None = None
    """How long a due job may wait in a queue on which somebody works before that is an incident. Shared, at first 10
    minutes."""

    retention: Mapping[str, timedelta | None] = field(default_factory=dict[str, timedelta | None])
    """Class of records -> how long it is kept after its end, None for ever. Each class is a shared setting of its own,
    at first as in ``RETENTION``."""

    def __post_init__(self) -> None:
        check_fields(self)
        self._require("executor_gone_after", self.executor_gone_after >= timedelta(seconds=1), "1 s at least")
        ordered = timedelta(0) < self.executor_late_after <= self.executor_missing_after
        self._require("executor_late_after", ordered, "more than 0 and at most executor_missing_after")
        self._check_processes()
        for name in self.retention:
            if name not in RETENTION:
                raise InvalidSettingError("retention", name, one_of(name, RETENTION))
        try:
            checked = {name: SHARED[name].check(name, value) for name, value in self.shared().items()}
        except InvalidArgumentError as error:
            raise InvalidSettingError(error.argument, error.found, error.expected) from None
        kept_for = {name: checked[f"retention.{name}"] for name in self.retention}
        own = {name: value for name, value in checked.items() if name in SHARED and "." not in name}
        for name, value in {**own, "retention": kept_for}.items():
            object.__setattr__(self, name, value)  # seconds as spans

    def shared(self) -> dict[str, SharedValue]:
        """Name -> value of the shared settings that were passed; the database decides the others."""
        values = {name: getattr(self, name) for name in SHARED if "." not in name}
        # An empty rescue leaves the row as it is, as None does.
        nothing: dict[str, object] = {"rescue": {}}
        chosen: dict[str, SharedValue] = {
            name: value for name, value in values.items() if value is not None and value != nothing.get(name)
        }
        return chosen | {f"retention.{name}": kept_for for name, kept_for in self.retention.items()}

    def runs_in_process(self, queue: str) -> bool:
        """Whether the plain functions of a queue run in processes of their own."""
        return self.functions_in.get(queue, self.functions_in.get("*", "thread")) == "process"

    def _check_processes(self) -> None:
        if "process" in self.functions_in.values():
            found = [function for function in self.around_functions if import_name_of(function) is None]
            expected = "functions at the top of a module, which another process can import (functions_in)"
            if found:
                raise InvalidSettingError("around_functions", repr(found[0]), expected)

    def _require(self, setting: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InvalidSettingError(setting, str(getattr(self, setting)), expected)


def shared_json(settings: Settings) -> str:
    """The shared settings that were passed, as JSON: name -> value as its row stores it."""
    return orjson.dumps({name: SHARED[name].to_row(value) for name, value in settings.shared().items()}).decode()
