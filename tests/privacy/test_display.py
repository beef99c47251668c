"""What looks secret is not shown, and a policy that fails shows nothing."""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oban_powertools import Cursor, DisplayPolicy, Powertools, Workflow
from oban_powertools.operators.audit.writing import kept_state
from oban_powertools.privacy.apply_display import apply_display
from oban_powertools.privacy.display import LONGEST_ERROR, LONGEST_TEXT, REDACTED, Kind, shown_text
from oban_powertools.privacy.redaction import redacted
from tests.support.by_hand import Hand, chain, step
from tests.support.command import powertools

CANARY = "hunter2canary"
SECRET = [
    f"cannot reach postgresql://app:{CANARY}@db:5432/app",
    f"cannot reach redis://:{CANARY}@with@ats@cache/0",
    f"password={CANARY} was refused",
    f"API_KEY: '{CANARY}'",
    f'{{"client_secret": "{CANARY} with blanks"}}',
    f'it said "{{\\"password\\": \\"{CANARY} with blanks\\"}}"',
    f"Authorization: Bearer {CANARY}",
    f"Set-Cookie: session={CANARY}",
    f"sk-{CANARY} is no key",
    f"github_pat_{CANARY} is no token",
    f"whsec_{CANARY}+and/more= signs",
    f"{CANARY * 3} expired",
    f"Ab1-{CANARY}_{CANARY}-from-token_urlsafe is no token",
    f"eyJhbGciOi.{CANARY}.sig",
]
PLAIN = [
    "ConnectionError: the bank does not answer",
    "job 8123 at 2026-11-21T09:00:01Z",
    "/usr/lib/python3.13/x.py",
    "worker tests.privacy.test_display.AWorkerWithALongName",
    "0192f3a4-5b6c-7d8e-9f00-112233445566 is unknown",
    "step sync_billing_of_all_accounts_in_one_go failed after 3 of 3 attempts",
]


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


@pytest.mark.parametrize("text", SECRET)
def test_what_looks_secret_in_a_text_is_hidden(text: str) -> None:
    assert CANARY not in shown_text(text)
    assert "blanks" not in shown_text(text)


@pytest.mark.parametrize("text", SECRET)
def test_what_was_hidden_stays_as_it_is(text: str) -> None:
    assert shown_text(shown_text(text)) == shown_text(text)


@pytest.mark.parametrize("text", PLAIN)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert shown_text(text) == text


async def test_the_database_hides_in_errors_what_python_hides(hand: Hand) -> None:
    for text in SECRET:
        assert CANARY not in await hand.one("SELECT powertools.redacted(%s)", text)
    for text in PLAIN:
        assert await hand.one("SELECT powertools.redacted(%s)", text) == text

    cut = await hand.one("SELECT powertools.redacted(%s)", f"{'word ' * 197}postgresql://app:{CANARY}@db")
    assert cut.endswith("word …")


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "password",
        "://a:",
        "Ab1-",
        "secret='",
        'token=\\"',
        "eyJa.",
        "sk-",
        "password ",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_text_made_to_be_slow_is_looked_through_in_the_time_of_any_other(part: str) -> None:
    text = part * (200_000 // len(part))
    began_at = time.perf_counter()

    redacted(text)

    assert time.perf_counter() - began_at < 5


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


def test_of_a_long_error_the_beginning_and_the_end_stay() -> None:
    frames = '  File "x.py", line 1, in f\n    f()\n' * 400
    error = f"Traceback (most recent call last):\n{frames}RuntimeError: token={CANARY}"

    shown_error = DisplayPolicy().render(Kind.ERROR, error)

    assert len(shown_error) <= LONGEST_ERROR
    assert shown_error.startswith("Traceback ") and "…" in shown_error
    assert shown_error.endswith("\nRuntimeError: token=[redacted]")


@pytest.mark.parametrize("answer", [object(), (1, 2), {1: 2}, [object()], b"x"])
def test_a_policy_that_returns_what_is_no_json_shows_nothing(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(DisplayPolicy):
        def show(self, kind: Kind, value: Any) -> Any:
            return answer

    assert Odd().render(Kind.ARGS, CANARY) == REDACTED
    assert caplog.messages == [
        f"the display policy Odd failed for a value of kind args: a {type(answer).__name__} that is no JSON"
    ]


def test_where_only_a_text_has_a_place_anything_else_is_hidden() -> None:
    class Shape(DisplayPolicy):
        def show(self, kind: Kind, value: Any) -> Any:
            return {"length": len(value)}

    assert Shape().render_text(Kind.REASON, CANARY) == REDACTED


def test_records_within_records_are_shown_through_the_policy() -> None:
    @dataclass(frozen=True)
    class Part:
        summary: str | None

    @dataclass(frozen=True)
    class Whole:
        id: int
        name: str
        parts: tuple[Part, ...]
        details: dict[str, Any]
        error: Any

    secret = f"password={CANARY}"
    whole = Whole(7, "a name", (Part(secret), Part(None)), {"token": CANARY, "n": 1}, {"attempt": 1, "error": secret})

    assert apply_display(DisplayPolicy(), whole) == Whole(
        7,
        "a name",
        (Part("password=[redacted]"), Part(None)),
        {"token": REDACTED, "n": 1},
        {"attempt": 1, "error": "password=[redacted]"},
    )


class Broken(DisplayPolicy):
    """A host's policy with a bug."""

    def show(self, kind: Kind, value: Any) -> Any:
        raise ValueError(value)


async def test_with_a_policy_that_fails_no_door_shows_anything(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    broken = Powertools(hand.oban, authorize=lambda *_: True, display=Broken())
    broken._attachment.own_pool = hand.powertools._attachment.own_pool
    workflow_id = await hand.insert(chain(2, context={"note": CANARY}))
    await hand.run(workflow_id, {"s0": RuntimeError(CANARY)})
    since = Cursor(0)

    explained = await broken.explain.workflow_step(workflow_id, "s0")
    events = [event for event in await broken.events.read(since=since) if event.workflow_id == workflow_id]
    other = await hand.insert(chain(1))
    await broken.workflows.hold(other, hold_for=timedelta(hours=1), actor="ops", reason=CANARY)
    commands = await broken.workflows.commands(other)
    record = (await broken.audit.list(target_type="workflow", target_id=str(other)))[0]

    assert CANARY not in repr([explained, events, commands, record]) + caplog.text
    assert explained.summary == REDACTED and explained.state == "discarded"
    assert REDACTED in [getattr(event, "error", None) for event in events]
    assert (commands[0]["reason"], record.reason) == (REDACTED, REDACTED)
    assert "the display policy Broken failed for a value of kind error: ValueError" in caplog.messages


@pytest.mark.parametrize("how", ["option", "environment", "file"])
async def test_the_command_shows_through_the_policy_of_the_host(hand: Hand, tmp_path: Path, how: str) -> None:
    workflow_id = await hand.insert(chain(1, context={"note": CANARY}))
    (tmp_path / "operators.py").write_text(
        "from oban_powertools import DisplayPolicy\n"
        "class Nothing(DisplayPolicy):\n"
        "    def show(self, kind, value):\n"
        "        raise ValueError(value)\n"
    )
    if how == "file":
        (tmp_path / "oban.toml").write_text('[powertools]\ndisplay = "operators:Nothing"\n')
    option = ("--display", "operators:Nothing") if how == "option" else ()
    env = {"POWERTOOLS_DISPLAY": "operators:Nothing"} if how == "environment" else {}

    ended = powertools("workflow", "show", str(workflow_id), "--json", *option, dsn=hand.dsn, cwd=tmp_path, **env)

    assert ended.json["workflow"]["context"] == REDACTED
    assert CANARY not in ended.out + ended.err
    assert "the display policy Nothing failed for a value of kind context: ValueError" in ended.err


@pytest.mark.parametrize("value", ["operators", "json:dumps", "json:missing"])
def test_what_is_no_display_policy_is_a_usage_error(value: str) -> None:
    ended = powertools("workflow", "list", "--display", value, dsn="postgresql://nobody@localhost:1/x")

    assert ended.code == 2
    assert "--display" in ended.error


def test_payloads_of_a_state_are_kept_as_hash_and_shape() -> None:
    state = {"step": {"state": "completed", "result": {"iban": CANARY}, "error": None}, "jobs": [{"args": [CANARY]}]}

    kept = kept_state(DisplayPolicy(), state)

    assert CANARY not in repr(kept)
    assert (kept["step"]["state"], kept["step"]["error"]) == ("completed", None)
    assert (kept["step"]["result"]["shape"], kept["jobs"][0]["args"]["shape"]) == ("object of 1", "array of 1")
    assert kept == kept_state(DisplayPolicy(), state)
    assert kept != kept_state(DisplayPolicy(), {**state, "jobs": [{"args": ["another"]}]})


async def test_a_record_is_displayed_as_the_policy_says(hand: Hand) -> None:
    workflow = Workflow("secret", context={"password": "hunter2", "account": 7})
    workflow.add("only", step({"password": "hunter2"}))
    workflow_id = await hand.insert(workflow)

    record = await hand.workflows.get(workflow_id)
    page = await hand.workflows.list_steps(workflow_id)

    assert hand.powertools.as_displayed(record).context == {"password": "[redacted]", "account": 7}
    assert [each.args for each in hand.powertools.as_displayed(page).steps] == [{"password": "[redacted]"}]
