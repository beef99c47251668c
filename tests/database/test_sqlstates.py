"""Errors are told by their SQLSTATE and by whether the connection lives, not by psycopg's classes."""

import psycopg
import pytest
from psycopg import errors

from oban_powertools.database.sqlstates import Trouble, find_trouble

CODES = sorted(
    {
        kind.sqlstate: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, psycopg.Error) and kind.sqlstate
    }.items()
)
"""Every SQLSTATE that psycopg knows."""


CONTENDED = ("25006", "26000", "42P05", "55006", "55P03")


@pytest.mark.parametrize(("code", "kind"), CODES, ids=[code for code, _ in CODES])
def test_while_the_connection_lives_only_other_sessions_and_the_servers_shortage_excuse_what_was_sent(
    code: str, kind: type[psycopg.Error]
) -> None:
    trouble = find_trouble(kind(), lives=True)

    assert trouble is not Trouble.LOST
    assert (trouble is Trouble.CONTENDED) == (code in CONTENDED or (code.startswith("40") and code != "40002"))
    assert (trouble is Trouble.EXHAUSTED) == (code.startswith(("08", "53", "57")) or code in ("25P03", "25P04"))


@pytest.mark.parametrize(("code", "kind"), CODES, ids=[code for code, _ in CODES])
def test_an_error_with_which_the_connection_has_ended_may_hide_that_it_was_done(
    code: str, kind: type[psycopg.Error]
) -> None:
    goes = code.startswith(("08", "57P")) or code in ("25P03", "25P04")

    assert find_trouble(kind(), lives=False) is Trouble.LOST
    assert (find_trouble(kind()) is Trouble.LOST) == goes


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError(),
        psycopg.DataError(),
        psycopg.NotSupportedError(),
        psycopg.InterfaceError(),
        UnicodeEncodeError("latin-1", "☃", 0, 1, ""),
        TypeError(),
        RecursionError(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_client_is_refused_while_the_connection_lives_and_lost_without_it(error: Exception) -> None:
    assert find_trouble(error, lives=True) is Trouble.REFUSED
    assert find_trouble(error, lives=False) is Trouble.LOST


@pytest.mark.parametrize("error", [psycopg.OperationalError(), psycopg.InterfaceError(), ConnectionResetError()])
def test_where_nobody_knows_whether_the_connection_lives_its_classes_say_so(error: Exception) -> None:
    assert find_trouble(error) is Trouble.LOST
    assert find_trouble(ValueError()) is Trouble.REFUSED
