"""What looks secret is not shown, and a policy that fails shows nothing."""

import logging
from typing import Any

import pytest

from oban_powertools import DisplayPolicy
from oban_powertools.audit.writing import kept_state
from oban_powertools.display import LONGEST_TEXT, REDACTED, Kind, shown_text

CANARY = "hunter2canary"


@pytest.mark.parametrize(
    "key",
    "password Password db_password passwd secret client_secret token preview_token api_key apiKey API-KEY "
    "authorization credentials private_key cookie dsn".split(),
)
def test_a_value_whose_key_looks_secret_is_hidden_at_any_depth(key: str) -> None:
    for value in (CANARY, 4711, [CANARY], {"inner": CANARY}):
        shown = DisplayPolicy().render(Kind.DETAILS, {"a": [{key: value}], "total": 30})

        assert shown == {"a": [{key: REDACTED}], "total": 30}


@pytest.mark.parametrize("key", ["id", "state", "idempotency_key", "correlation_key", "passenger", "worker", "author"])
def test_an_ordinary_key_is_shown(key: str) -> None:
    assert DisplayPolicy().render(Kind.DETAILS, {key: "value"}) == {key: "value"}


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach postgresql://app:{CANARY}@db:5432/app",
        f"password={CANARY} was refused",
        f"API_KEY: '{CANARY}'",
        f'{{"client_secret": "{CANARY}"}}',
        f"Authorization: Bearer {CANARY}",
        f"sk-{CANARY} is no key",
        f"{CANARY * 3} expired",
        f"eyJhbGciOi.{CANARY}.sig",
    ],
)
def test_what_looks_secret_in_a_text_is_hidden(text: str) -> None:
    assert CANARY not in shown_text(text)


@pytest.mark.parametrize(
    "text",
    ["ConnectionError: the bank does not answer", "job 8123 at 2026-11-21T09:00:01Z", "/usr/lib/python3.13/x.py"],
)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert shown_text(text) == text


def test_a_long_text_is_cut() -> None:
    shown = DisplayPolicy().render(Kind.REASON, "why " * 1000)

    assert len(shown) == LONGEST_TEXT


def test_a_policy_that_fails_shows_nothing_and_logs_nothing_of_the_value(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(DisplayPolicy):
        def show(self, kind: Kind, value: Any) -> Any:
            raise ValueError(value)

    with caplog.at_level(logging.DEBUG):
        assert Broken().render(Kind.ERROR, CANARY) == REDACTED

    assert len(caplog.records) == 1
    assert CANARY not in caplog.text


def test_payloads_of_a_state_are_kept_as_hash_and_shape() -> None:
    state = {"step": {"state": "completed", "result": {"iban": CANARY}, "error": None}, "jobs": [{"args": [CANARY]}]}

    kept = kept_state(DisplayPolicy(), state)

    assert CANARY not in repr(kept)
    assert (kept["step"]["state"], kept["step"]["error"]) == ("completed", None)
    assert (kept["step"]["result"]["shape"], kept["jobs"][0]["args"]["shape"]) == ("object of 1", "array of 1")
    assert kept == kept_state(DisplayPolicy(), state)
    assert kept != kept_state(DisplayPolicy(), {**state, "jobs": [{"args": ["another"]}]})
