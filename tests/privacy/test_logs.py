"""What this package logs holds no secret, and its loggers are made in one place."""

import logging
import re
import time
from pathlib import Path

import psycopg
import pytest

from oban_powertools.privacy.logs import Public, Redacting, find_logger, format_error, format_traceback
from tests.support.by_hand import Hand

SOURCE = Path(__file__).parents[2] / "src" / "oban_powertools"
CANARY = "hunter2canary"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def test_every_logger_is_made_where_it_is_made_to_redact() -> None:
    made = [path.name for path in SOURCE.rglob("*.py") if re.search(r"= .*\bgetLogger\(", path.read_text())]

    assert made == ["logs.py"]


def test_a_message_an_argument_and_a_traceback_lose_their_secrets(caplog: pytest.LogCaptureFixture) -> None:
    logger = find_logger("oban_powertools.test_logs")

    try:
        raise RuntimeError(f"password={CANARY} was refused")
    except RuntimeError as error:
        logger.exception("no answer of postgresql://app:%s@db: %s", CANARY, error)

    [record] = caplog.records
    assert CANARY not in caplog.text + repr(vars(record))
    assert record.getMessage() == "no answer of postgresql://[redacted]@db: password=[redacted] was refused"
    assert record.exc_text is not None and record.exc_text.startswith("Traceback ")
    assert "RuntimeError: password=[redacted] was refused" in caplog.text


def test_what_is_public_stays_though_it_looks_like_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.filtering(Redacting()):
        find_logger("oban_powertools.test_logs").warning("head %s, not %s", Public(HASH), HASH)

    assert caplog.messages == [f"head {HASH}, not [redacted]"]


def test_a_message_that_cannot_be_written_is_said_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    find_logger("oban_powertools.test_logs").warning("%d jobs", CANARY)

    [message] = caplog.messages
    assert message.startswith("a message that cannot be written, at ")


def test_a_text_of_any_size_is_logged_in_bounds_and_at_once(caplog: pytest.LogCaptureFixture) -> None:
    huge = f"begins password={CANARY} " + "\0" * 20_000_000 + " ends"
    began_at = time.process_time()

    try:
        raise ValueError(huge)
    except ValueError as error:
        find_logger("oban_powertools.test_logs").exception("%s and %s", huge, error)
    took = time.process_time() - began_at

    [record] = caplog.records
    assert max(len(record.getMessage()), len(record.exc_text or "")) < 20_100
    assert record.getMessage().startswith("begins password=[redacted] ")
    assert record.getMessage().endswith(" ends")
    assert took < 2


def test_a_logger_that_is_asked_for_twice_redacts_once() -> None:
    logger = find_logger("oban_powertools.test_logs")

    assert find_logger("oban_powertools.test_logs") is logger
    assert [type(found) for found in logger.filters] == [Redacting]


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO powertools.workflows (name, state) VALUES ('{CANARY}', 'nonsense')",
        f"SELECT '{CANARY}'::int",
        f"SELECT '{{\"a\": {CANARY}}}'::json",
        f"DO $$ BEGIN RAISE 'no' USING DETAIL = 'it was {CANARY}'; END $$",
    ],
)
async def test_the_values_that_postgresql_quotes_are_left_out(hand: Hand, statement: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        await hand.conn.execute(statement.encode())

    assert CANARY in str(raised.value)
    assert CANARY not in format_error(raised.value)
    told_of = format_traceback(raised.value)
    assert CANARY not in told_of and format_error(raised.value) in told_of
    if not isinstance(raised.value, psycopg.DataError):
        assert CANARY not in format_traceback(RuntimeError(f"it failed:\n{raised.value}"))


def test_an_error_tells_its_cause_without_its_secrets() -> None:
    try:
        try:
            raise ValueError(f"secret={CANARY}")
        except ValueError as cause:
            raise RuntimeError("it failed") from cause
    except RuntimeError as error:
        text = format_traceback(error)

    assert "ValueError: secret=[redacted]" in text and text.endswith("RuntimeError: it failed")


def test_logging_goes_on_with_other_loggers_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("of_a_host").warning("password=%s", CANARY)

    assert caplog.messages == [f"password={CANARY}"]
