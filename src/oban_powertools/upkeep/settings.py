"""Shared settings: rows of the database that every process and command reads, because they must be equal on all nodes.

The rules that must never break: the row counts, whatever a process was started with; and once an operator or a process
has set a row, only operators change it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson

from ..acts import Action, TargetType
from ..arguments import as_text, refuse
from ..config import SHARED, Settings, SharedValue, shared_json
from ..database import Row, Session, record
from ..operators.audit import Operations
from ..operators.authorization import ActorLike, Target
from ..operators.services import Services
from ..privacy.logs import find_logger
from ..spelling import one_of
from ..wire import AsDict

__all__ = ["SharedSettings", "StoredSetting"]

logger: Final = find_logger(__name__)

_FLOORS: Final = {"incident_hung_unknown_after": "incident_hung_after"}
"""A shared setting -> another that counts in its stead where it is longer (``detect_hung_jobs``)."""

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSetting(AsDict):
    """A shared setting as the database has it."""

    name: str
    """Its name: a field of ``Settings``, or ``retention.`` and a class of records."""

    value: SharedValue
    """What counts now: a span of time (None for ever), a number, or queue -> how its jobs are rescued."""

    default: SharedValue
    """What counts until somebody sets it."""

    changed_at: datetime | None
    """When it was set; None: never."""

    changed_by: str | None
    """Who set it; None: the first process that was started with a value of its own."""


def spell(value: SharedValue) -> str:
    """A value as ``powertools settings set`` takes it: ``forever``, ``7d``, ``5``, ``{"mail": "operator"}``."""
    match value:
        case None:
            return "forever"
        case timedelta():
            seconds = value.total_seconds()
            fitting = (f"{seconds / unit:g}{name}" for unit, name in _UNITS if seconds and not seconds % unit)
            return next(fitting, f"{seconds:g}s")
        case int():
            return str(value)
        case _:
            return orjson.dumps(dict(value)).decode()


def say_below_floor(name: str, stored: Iterable[StoredSetting]) -> str:
    """That a setting, or one whose floor it is, has no effect because its floor is longer; empty when it has."""
    values = {each.name: each.value for each in stored}
    for below, floor in _FLOORS.items():
        short, long = values.get(below), values.get(floor)
        if name in (below, floor) and isinstance(short, timedelta) and isinstance(long, timedelta) and short < long:
            return f"{below} is {spell(short)}, and has no effect while {floor} is longer ({spell(long)}): that counts"
    return ""


async def read_settings(session: Session) -> list[StoredSetting]:
    """Every shared setting that this release knows, by name; changes nothing."""
    return [_stored(row) for row in await session.all("list_settings") if row["name"] in SHARED]


async def read_spans(session: Session) -> dict[str, timedelta | None]:
    """Name -> value of the shared settings that say how long; None for ever."""
    settings = await read_settings(session)
    return {each.name: each.value for each in settings if each.value is None or isinstance(each.value, timedelta)}


async def find_apart(session: Session) -> list[str]:
    """The shared settings that a living process was started with, and that the database has otherwise; by name."""
    return sorted({row["subject"] for row in await session.all("doctor_check_settings")})


async def adopt(session: Session, settings: Settings) -> None:
    """What a process does when it starts: its values become the database's where nobody has set any.

    Where the database has another value, that counts, and the log says so once.

    Args:
        session: In autocommit.

    Locks: the rows that nobody has set, by name.
    """
    chosen = settings.shared()
    if not chosen:
        return
    adopted = await session.one(
        "adopt_settings", {"given": shared_json(settings), "reason": "a process was the first to be started with it"}
    )
    if adopted is not None:
        logger.info("set in the database, because nobody had: %s", ", ".join(adopted["adopted"]))
    apart = [each for each in await read_settings(session) if chosen.get(each.name, each.value) != each.value]
    if apart:
        logger.warning("%s", _tell_apart(apart, chosen))


def _tell_apart(apart: Iterable[StoredSetting], chosen: dict[str, SharedValue]) -> str:
    differences = "; ".join(
        f"{each.name} is {spell(each.value)} in the database, {spell(chosen[each.name])} here" for each in apart
    )
    return (
        f"this process was started with other settings than the database has, which count: {differences}. "
        "To change the database: powertools settings set NAME VALUE --reason WHY"
    )


class SharedSettings:
    """The settings that are equal on all nodes, because they are rows of the database."""

    def __init__(self, services: Services) -> None:
        self._connect = services.connect
        self._operations = Operations(services)

    async def list_settings(self) -> list[StoredSetting]:
        """Every shared setting, by name; changes nothing."""
        async with self._connect() as session:
            return await read_settings(session)

    async def change(
        self, name: str, value: SharedValue | float, *, actor: ActorLike, reason: str, source: str = "api"
    ) -> StoredSetting:
        """Set one, for every process from its next look on.

        Args:
            name: One of ``list_settings``.
            value: A ``timedelta`` or seconds, None for ever; a number; or a dict, queue or ``*`` -> ``automatic`` or
            ``operator``.
            reason: Why; kept in the audit.
            source: The door: ``api``, ``cli`` or ``web``.

        Raises:
            InvalidArgumentError: There is no such setting, or it cannot have this value.
            UnattributedActorError, ReasonRequiredError, NotAuthorizedError: It was refused, and that is recorded.

        Locks: the setting.
        """
        if (setting := SHARED.get(as_text("name", name))) is None:
            raise refuse("name", name, one_of(name, SHARED))
        stored = setting.to_row(setting.check(name, value))
        target = Target(type=TargetType.SETTING, id=name)
        async with self._operations.begin(
            actor, Action.SETTINGS_CHANGE, target, reason=reason, source=source
        ) as operation:
            acting = await operation.authorize()
            async with operation.transaction() as session:
                before = await session.one("lock_setting", {"name": name})
                args = {"name": name, "value": orjson.dumps(stored).decode(), "actor": acting.id}
                after = await session.one("change_setting", args)
                assert after is not None
                operation.update(before={"value": before and before["value"]}, after={"value": stored})
        return _stored(after)


def _stored(row: Row) -> StoredSetting:
    setting = SHARED[row["name"]]
    return record(StoredSetting, row, value=setting.from_row(row["value"]), default=setting.default)
