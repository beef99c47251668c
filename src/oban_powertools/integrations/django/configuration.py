"""What a project's settings say: ``OBAN_POWERTOOLS``, and the DSN of ``DATABASES``.

    OBAN_POWERTOOLS = {"QUEUES": {"default": 10}, "CONSOLE": {"PATH": "/ops/jobs", "ENVIRONMENT": "Production"}}

Every key has a default, so the setting may be missing. The rule that must never break: a key that nobody reads and a
value that cannot work are told by ``manage.py check``, never ignored.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final, cast

import django.conf
import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import pq
from psycopg.conninfo import make_conninfo

from ...arguments import as_flag, as_text
from ...config import Names, Settings
from ...database import check_dsn
from ...errors import InvalidArgumentError, InvalidSettingError
from ...operators.authorization import Authorize, permissions_policy
from ...privacy.display import DisplayPolicy

SETTING: Final = "OBAN_POWERTOOLS"
"""The name of the setting."""

_SPELLED: Final = "OBAN_POWERTOOLS[{!r}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleOptions:
    """``OBAN_POWERTOOLS["CONSOLE"]``: where the console is, and what its top bar says."""

    path: str = "/ops/jobs"
    """``PATH``: where ``with_console`` mounts it, and where the admin's links lead."""

    name: str = "Powertools"
    """``NAME``: of this installation."""

    environment: str | None = None
    """``ENVIRONMENT``: in a word, such as ``Production``."""

    read_only: bool = False
    """``READ_ONLY``: whether nothing may be changed there, whoever asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The setting ``OBAN_POWERTOOLS``, checked."""

    database: str = "default"
    """``DATABASE``: the alias in ``DATABASES``."""

    names: Names = field(default_factory=Names)
    """``SCHEMA`` and ``PREFIX``: where our tables and Oban's are."""

    queues: Mapping[str, int] = field(default_factory=dict[str, int])
    """``QUEUES``: queue -> how many jobs at once, for ``manage.py powertools start``."""

    workers: tuple[str, ...] | None = None
    """``WORKERS``: the modules with workers; None: the modules ``jobs`` and ``steps`` of every app that has one."""

    settings: Settings = field(default_factory=Settings)
    """``SETTINGS``: of ``oban_powertools.Settings``, by name."""

    authorize: Authorize = field(default_factory=permissions_policy)
    """``AUTHORIZE``: the dotted path of a policy; by default the permissions of Django's user decide."""

    display: DisplayPolicy = field(default_factory=DisplayPolicy)
    """``DISPLAY``: the dotted path of a display policy."""

    display_path: str | None = None
    """As it was written, for the command line."""

    console: ConsoleOptions = field(default_factory=ConsoleOptions)
    """``CONSOLE``."""


@cache
def configuration() -> Configuration:
    """What the project's settings say; read once, and again after ``override_settings``.

    Raises:
        ImproperlyConfigured: The setting cannot work; says which key, what was found and what is expected.
    """
    try:
        return read(getattr(django.conf.settings, SETTING, {}))
    except InvalidSettingError as error:
        raise ImproperlyConfigured(str(error)) from error


def read(given: object) -> Configuration:
    """The configuration of a value of the setting.

    Raises:
        InvalidSettingError: It cannot work.
    """
    entries = _entries(SETTING, given, _READERS)
    read: dict[str, Any] = {}
    for key, value in entries.items():
        read |= _READERS[key](_SPELLED.format(key), value)
    names = {name: read.pop(name) for name in ("schema", "prefix") if name in read}
    return Configuration(names=Names(**names), **read)


def _entries(place: str, given: object, known: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidSettingError(place, repr(given)[:80], "a dict")
    entries = cast("dict[Any, Any]", given)
    if unknown := [key for key in entries if key not in known]:
        raise InvalidSettingError(place, f"a dict with {unknown[0]!r}", f"only {', '.join(known)}")
    return entries


def _database(place: str, value: object) -> dict[str, Any]:
    aliases = list(django.conf.settings.DATABASES)
    if value not in aliases:
        raise InvalidSettingError(place, repr(value), f"an alias of DATABASES: {', '.join(aliases)}")
    return {"database": value}


def _name(place: str, value: object) -> dict[str, Any]:
    key = "schema" if "SCHEMA" in place else "prefix"
    try:
        Names(**{key: cast("Any", value)})
    except InvalidSettingError as error:
        raise InvalidSettingError(place, error.found, error.expected) from None
    return {key: value}


def _queues(place: str, value: object) -> dict[str, Any]:
    found = repr(value)[:80]
    queues = cast("dict[Any, Any]", value) if isinstance(value, dict) else {None: None}
    for name, limit in queues.items():
        if not isinstance(name, str) or not name or type(limit) is not int or limit < 1:
            raise InvalidSettingError(place, found, "queue -> how many jobs at once, as {'default': 10}")
    return {"queues": queues}


def _workers(place: str, value: object) -> dict[str, Any]:
    found = repr(value)[:80]
    modules = cast("list[Any] | tuple[Any, ...]", value) if isinstance(value, list | tuple) else [None]
    if not all(isinstance(module, str) and module for module in modules):
        raise InvalidSettingError(place, found, "a list of modules, as ['shop.jobs']")
    return {"workers": tuple(modules)}


def _settings(place: str, value: object) -> dict[str, Any]:
    known = {setting.name: None for setting in fields(Settings)}
    try:
        return {"settings": Settings(**_entries(place, value, known))}
    except InvalidSettingError as error:
        if error.setting.startswith(place):
            raise
        raise InvalidSettingError(f"{place}[{error.setting!r}]", error.found, error.expected) from None


def _authorize(place: str, value: object) -> dict[str, Any]:
    imported = _imported(place, value)
    if not callable(imported):
        raise InvalidSettingError(place, repr(value), "the dotted path of a function (actor, action, target) -> bool")
    return {"authorize": imported}


def _display(place: str, value: object) -> dict[str, Any]:
    policy: Any = _imported(place, value)
    if isinstance(policy, type):
        policy = cast("Callable[[], Any]", policy)()
    if not isinstance(policy, DisplayPolicy):
        raise InvalidSettingError(place, repr(value), "the dotted path of a DisplayPolicy")
    return {"display": policy, "display_path": value}


def _console(place: str, value: object) -> dict[str, Any]:
    entries = _entries(place, value, _CONSOLE)
    return {"console": ConsoleOptions(**{key.lower(): _CONSOLE[key](place, key, entries[key]) for key in entries})}


def _console_path(place: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or value.endswith("/"):
        raise InvalidSettingError(f"{place}[{key!r}]", repr(value), "a path as /ops/jobs, without a slash at its end")
    return value


def _checked[T](check: Callable[[str, Any], T]) -> Callable[[str, str, Any], T]:
    def checked(place: str, key: str, value: Any) -> T:
        try:
            return check(key, value)
        except InvalidArgumentError as error:
            raise InvalidSettingError(f"{place}[{key!r}]", error.found, error.expected) from None

    return checked


def _imported(place: str, value: object) -> Any:
    module, _, name = value.rpartition(".") if isinstance(value, str) else ("", "", "")
    if not module:
        raise InvalidSettingError(place, repr(value), "a dotted path, as 'shop.operators.authorize'")
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        raise InvalidSettingError(place, f"{value!r}, which cannot be imported ({error})", "a dotted path") from error
    if not hasattr(imported, name):
        raise InvalidSettingError(place, repr(value), f"a name of the module {module} after the last dot")
    return getattr(imported, name)


_CONSOLE: Final[dict[str, Callable[[str, str, Any], Any]]] = {
    "PATH": _console_path,
    "NAME": _checked(as_text),
    "ENVIRONMENT": _checked(as_text),
    "READ_ONLY": _checked(as_flag),
}

_READERS: Final[dict[str, Callable[[str, Any], dict[str, Any]]]] = {
    "DATABASE": _database,
    "SCHEMA": _name,
    "PREFIX": _name,
    "QUEUES": _queues,
    "WORKERS": _workers,
    "SETTINGS": _settings,
    "AUTHORIZE": _authorize,
    "DISPLAY": _display,
    "CONSOLE": _console,
}
"""Key -> what reads its value."""


def djangos_connection() -> BaseDatabaseWrapper:
    """Django's connection of this thread to the database with our schema."""
    return connections[configuration().database]


def find_dsn() -> str:
    """The DSN of the database with our schema, as ``DATABASES`` names it: for connections that are not Django's.

    With everything in ``OPTIONS`` that libpq knows (``sslmode``, ``service``, ``passfile``, ...), and ``assume_role``
    as the role of the session. In a test it is the test's database.

    Raises:
        ImproperlyConfigured: The database is not PostgreSQL, or its settings cannot work.
    """
    connection = djangos_connection()
    refuse_others(connection)
    given: dict[str, Any] = connection.get_connection_params()
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    # As texts: a certificate may be a path.
    parameters = {name: str(value) for name, value in given.items() if name in known and value is not None}
    parameters.pop("client_encoding", None)
    if role := connection.settings_dict["OPTIONS"].get("assume_role"):
        parameters["options"] = f"{parameters.get('options', '')} -c role={_escaped(role)}".strip()
    return check_dsn(make_conninfo("", **parameters))


def _escaped(value: str) -> str:
    """A value within libpq's ``options``."""
    return value.replace("\\", r"\\").replace(" ", r"\ ")


def refuse_others(connection: BaseDatabaseWrapper) -> None:
    """Refuse a database that is not PostgreSQL, and a driver that is not psycopg 3.

    Raises:
        ImproperlyConfigured: It is one of these.
    """
    if connection.vendor != "postgresql":
        raise ImproperlyConfigured(
            f"Powertools needs PostgreSQL, and DATABASES[{connection.alias!r}] is {connection.vendor}: name "
            f"another alias in {SETTING}['DATABASE']"
        )
    if getattr(connection, "Database", psycopg).__name__ != psycopg.__name__:
        raise ImproperlyConfigured("Powertools needs psycopg 3, and Django uses psycopg2 here: pip install psycopg")


def find_table(where: str, table: str) -> str:
    """The name of a table for a model's ``db_table``; of the default schemas while the setting cannot work.

    Args:
        where: ``schema`` or ``prefix``.
        table: Its name in that schema.
    """
    given = getattr(django.conf.settings, SETTING, None)
    entries = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    # Nothing else of the setting: a policy that it names may import models, and this is called while models are made.
    try:
        names = Names(**{key.lower(): entries[key] for key in ("SCHEMA", "PREFIX") if key in entries})
    except InvalidSettingError:
        names = Names()  # the check tells it
    # Django leaves a name alone that is quoted already, so it can have two parts.
    return f'"{getattr(names, where)}"."{table}"'
