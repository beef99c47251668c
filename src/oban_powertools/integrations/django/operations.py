"""The operation of our migrations: bring the schema to the state of this release.

Not for reading the SQL files (``schema``). The rules that must never break: tables and functions change in one
transaction, whichever migration of Django comes first; what ``powertools install`` or ``upgrade`` did already is found,
and what was done here is found there, because both look into the database's own table of migrations.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from ... import schema
from ...config import Names
from ...database import Connection, Queries, fetch_one
from ...database.migrations import migrations
from ...database.queries import begin_callers
from ...driving import drive
from ...sync.connections import callers_connection
from .configuration import configuration, refuse_others


class BringSchema(Operation):
    """Bring the schema to a version, and to the newest state of this release where it was behind.

    Args:
        version: The number of the schema that the migration is about.
        after: The number before; 0 installs, with Oban's tables where they are missing.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, version: int, *, after: int = 0) -> None:
        self.version = version
        self.after = after

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """As Django asks."""
        return (type(self).__qualname__, [self.version], {"after": self.after})

    def describe(self) -> str:
        """What ``migrate --plan`` says."""
        return (
            f"Install the schema of Powertools, version {self.version}, and Oban's"
            if self.after == 0
            else (f"Bring the schema of Powertools to version {self.version}")
        )

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """No model of Django's changes."""

    def database_forwards(
        self,
        app_label: str,  # noqa: ARG002 - as Django calls it
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        """Install or upgrade; prints the same for ``sqlmigrate``."""
        said = configuration()
        if schema_editor.connection.alias != said.database:
            return
        refuse_others(schema_editor.connection)
        if schema_editor.collect_sql:
            schema_editor.execute(self._sql(said.names), params=None)
        else:
            drive(_bring(callers_connection(schema_editor.connection), said.names, self.version))

    def database_backwards(
        self,
        app_label: str,  # noqa: ARG002 - as Django calls it
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        """Drop our schema where no workflow is stored in it; Oban's tables and jobs stay."""
        said = configuration()
        if schema_editor.connection.alias != said.database:
            return
        if schema_editor.collect_sql:
            schema_editor.execute(f"DROP SCHEMA IF EXISTS {said.names.schema} CASCADE", params=None)
        else:
            drive(_take_away(callers_connection(schema_editor.connection), said.names, whole=self.after == 0))

    def _sql(self, names: Names) -> str:
        if self.after:
            return schema.sql(names, after=self.after)
        return schema.oban_script(names) + schema.sql(names)


async def _bring(conn: Connection, names: Names, version: int) -> None:
    await begin_callers(conn)
    status = await schema.status(conn, names)
    schema.refuse_unknown(status)
    if status.found >= version:
        return
    if (
        status.found
        and not conn.autocommit
        and any(each.indexes and each.name in status.pending for each in migrations())
    ):
        raise ImproperlyConfigured(
            f"the schema {names.schema} needs indexes that are built beside running workers, outside a transaction: "
            "run manage.py powertools upgrade, then manage.py migrate again"
        )
    await schema.install(conn, names)


async def _take_away(conn: Connection, names: Names, *, whole: bool) -> None:
    await begin_callers(conn)
    if (await schema.status(conn, names)).found == 0:
        return
    row = await fetch_one(conn, Queries(names)["count_workflows"])
    if row is not None and row["workflows"]:
        raise IrreversibleError(
            f"the schema {names.schema} goes forward only, and {row['workflows']} workflows are stored in it (an older "
            "release works on a newer schema): to drop them all, run manage.py powertools uninstall, then manage.py "
            "migrate powertools zero"
        )
    if whole:
        await schema.uninstall(conn, names)
