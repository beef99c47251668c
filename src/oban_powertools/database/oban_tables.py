"""The SQL of Oban's own tables."""

import re

from oban.schema import install_sql

from ..config import Names


def oban_sql(prefix: str) -> str:
    """The SQL of Oban's own tables, which may run in one transaction with ours.

    Oban makes its enum and then adds ``suspended`` to it. Older servers refuse to use an added value before the commit
    ("unsafe use of new value"), as our functions and indexes do, so the enum is created with it.
    """
    return re.sub(r"('scheduled',)(\s+)('executing')", r"\1\2'suspended',\2\3", install_sql(prefix), count=1)


def oban_script(names: Names) -> str:
    """The same as a script, to be run in one transaction with ours."""
    # Oban looks for its type in current_schema(), so the prefix has to lead the search path (oban/O23).
    return (
        "-- Run all of this in one transaction.\n"
        f"CREATE SCHEMA IF NOT EXISTS {names.prefix};\n"
        f"SET LOCAL search_path TO {names.prefix};\n"
        f"{oban_sql(names.prefix)}\n"
        "SET LOCAL search_path TO DEFAULT;\n\n"
    )
