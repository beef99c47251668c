"""``manage.py check``: the setting, and with ``--database default`` the schema.

| Id | |
|---|---|
| ``powertools.E001`` | the setting ``OBAN_POWERTOOLS`` cannot work |
| ``powertools.E002`` | the database cannot work: not PostgreSQL, another driver, unreadable |
| ``powertools.W001`` | our migrations are applied, and yet the schema is missing, behind or ahead |
"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from ...database import Queries
from ...driving import drive
from ...errors import PowertoolsError
from ...schema import verify
from .actors import APP
from .calls import on_session
from .configuration import Configuration, configuration, find_dsn


def check_setting(**_: Any) -> list[CheckMessage]:
    """Whether the setting and the database's settings can work; asks no server."""
    try:
        configuration()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="powertools.E001")]
    try:
        find_dsn()
    except (ImproperlyConfigured, PowertoolsError) as error:
        return [Error(str(error), id="powertools.E002")]
    return []


def check_database(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Whether the schema is the one that this release works with."""
    try:
        said = configuration()
        if said.database not in (databases or ()):
            return []
        if not _is_unapplied(said):
            drive(_verify(said))
    except ImproperlyConfigured:
        return []  # told by the other check
    except PowertoolsError as error:
        return [CheckWarning(str(error), hint="manage.py powertools status says more", id="powertools.W001")]
    return []


def _is_unapplied(said: Configuration) -> bool:
    """Whether a migration of ours is still to come, which ``manage.py migrate`` and Django itself tell."""
    loader = MigrationLoader(connections[said.database])
    return any(app == APP and (app, name) not in loader.applied_migrations for app, name in loader.disk_migrations)


async def _verify(said: Configuration) -> None:
    async with on_session(Queries(said.names)) as session:
        await verify(session.conn, said.names)
