"""An error is its class and its text, taken from the exception; for whoever wrote only a traceback, read from that."""

import traceback
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from oban import Cancel, Job
from psycopg.types.json import Jsonb

from oban_powertools import Workflow
from oban_powertools.events import Cursor, StepUpdated
from oban_powertools.lifeline.incidents import Projector
from oban_powertools.privacy.shortening import LONGEST_ERROR, shortened
from oban_powertools.workflows.failures import LONGEST_TEXT, describe_failure, remember_failure, summary
from tests.support.by_hand import Hand, step

TOLD = "SELECT powertools.told_error_v1(%s) AS told"


class OddError(Exception):
    """Of a module of its own."""


class SilentError(Exception):
    """Whose text cannot be had."""

    def __str__(self) -> str:
        raise SystemExit(3)


def noted() -> Exception:
    error = LookupError("no ribbon left")
    error.add_note("while wrapping order 7")
    return error


def caused() -> Exception:
    error = LookupError("no ribbon left")
    error.__cause__ = KeyError("ribbon")
    return error


def local() -> Exception:
    class LocalError(Exception):
        pass

    return LocalError("where?")


def syntax() -> Exception:
    try:
        compile("a b", "x", "exec")
    except SyntaxError as error:
        return error
    raise AssertionError


def diagnosed() -> Exception:
    """As psycopg writes it, with a detail of its own behind."""
    return psycopg.errors.UniqueViolation('duplicate key value violates "x"\nDETAIL:  Key (id)=(1) already exists.')


HERE = __name__
VALIDATION = (
    "1 validation error for Order\nquantity\n  Input should be a valid integer [type=int_parsing]\n"
    "    For further information visit https://errors.pydantic.dev/2/v/int_parsing"
)
GROUP = ExceptionGroup("unhandled errors in a TaskGroup", [LookupError("no ribbon left")])
NESTED = ExceptionGroup("two", [ValueError("a"), ExceptionGroup("h", [KeyError("b"), ValueError("c")])])

FORMS: dict[str, tuple[Callable[[], Exception], str, str]] = {
    "plain": (lambda: LookupError("no ribbon left"), "LookupError", "LookupError: no ribbon left"),
    "a note": (noted, "LookupError", "LookupError: no ribbon left"),
    "many lines": (
        lambda: LookupError("no ribbon left\nDetail: shelf 4 is empty\n\n"),
        "LookupError",
        "LookupError: no ribbon left Detail: shelf 4 is empty",
    ),
    "no text": (LookupError, "LookupError", "LookupError"),
    "a cause": (caused, "LookupError", "LookupError: no ribbon left"),
    "syntax": (syntax, "SyntaxError", "SyntaxError: invalid syntax (x, line 1)"),
    "of a module": (lambda: OddError("x: y"), f"{HERE}.OddError", f"{HERE}.OddError: x: y"),
    "of a function": (local, f"{HERE}.local.<locals>.LocalError", f"{HERE}.local.<locals>.LocalError: where?"),
    "psycopg": (
        diagnosed,
        "psycopg.errors.UniqueViolation",
        'psycopg.errors.UniqueViolation: duplicate key value violates "x" DETAIL: Key (id)=(1) already exists.',
    ),
    "pydantic": (
        lambda: ValueError(VALIDATION),
        "ValueError",
        f"ValueError: {' '.join(VALIDATION.split())}",
    ),
    "a group": (
        lambda: GROUP,
        "ExceptionGroup(LookupError)",
        "ExceptionGroup(LookupError): unhandled errors in a TaskGroup (1 sub-exception): LookupError: no ribbon left",
    ),
    "groups in a group": (
        lambda: NESTED,
        "ExceptionGroup(KeyError, ValueError)",
        "ExceptionGroup(KeyError, ValueError): two (2 sub-exceptions): ValueError: a; KeyError: 'b'; ValueError: c",
    ),
}
"""What is raised -> its class, and it in one line."""

STOCK_DIFFERS = {
    "a note": "LookupError: no ribbon left while wrapping order 7",
    "syntax": "SyntaxError: invalid syntax",
}
"""What a traceback alone does not tell apart."""


def written(error: Exception) -> str:
    """What stock Oban writes of an exception."""
    try:
        raise error
    except Exception:  # noqa: BLE001
        return traceback.format_exc()


@pytest.mark.parametrize("form", FORMS)
async def test_events_explanations_incidents_and_the_child_name_the_exception(each_hand: Hand, form: str) -> None:
    make, named, line = FORMS[form]
    workflow = Workflow("forms")
    bad = workflow.add("bad", step())
    workflow.add("child", step({"error": bad.error}), deps={"bad": "continue"})
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"bad": make()})

    explained = await each_hand.powertools.explain.workflow_step(workflow_id, "bad")
    told = [
        event.error
        for event in await each_hand.powertools.events.read(since=Cursor(0))
        if isinstance(event, StepUpdated) and event.error
    ]
    settings = await each_hand.settings(incident_failing_count=1)
    await Projector(settings).project(each_hand.session)
    titles = await each_hand.rows("SELECT title FROM powertools.incidents WHERE class = 'failing_jobs'")
    child = (await each_hand.job(workflow_id, "child")).args["error"]
    assert line[:150] in explained.summary
    assert told == [line]
    assert titles[0]["title"].endswith(f"failed with {named}")
    assert child["class"] == named
    assert summary(child) == line


@pytest.mark.parametrize("form", FORMS)
async def test_of_a_job_that_stock_oban_ran_as_much_is_read_from_the_traceback(hand: Hand, form: str) -> None:
    make, named, line = FORMS[form]

    told = await hand.one(TOLD, Jsonb({"attempt": 1, "error": written(make())}))

    assert told["class"] == named
    assert summary(told) == STOCK_DIFFERS.get(form, line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "** (RuntimeError) no such account\n    (app 1.0.0) lib/app.ex:12: App.run/1",
            "RuntimeError: no such account",
        ),
        ("** (Ecto.Error) one\n  two\n    lib/app.ex:12: App.run/1\n    lib/b.ex:1: B.b/0", "Ecto.Error: one two"),
        ("ValueError('x')", "ValueError: 'x'"),
        ("hunter two is wrong", "hunter two is wrong"),
        ("Traceback\nboom: no\n", "boom: no"),
        ("", ""),
        ("\n\n", ""),
    ],
)
async def test_what_others_write_is_read_as_well_as_it_can_be(hand: Hand, text: str, line: str) -> None:
    assert summary(await hand.one(TOLD, Jsonb({"error": text}))) == line
    assert await hand.one("SELECT powertools.error_summary_v1(%s) AS line", Jsonb({"error": text})) == line


@pytest.mark.parametrize(
    "odd",
    [5, "text", [1, 2], {}, {"error": None}, {"error": {"a": 1}}, {"error": [1]}, {"text": 5}, {"class": {}}, True],
)
async def test_whatever_stands_where_an_error_belongs_is_told_of(hand: Hand, odd: Any) -> None:
    told = await hand.one(TOLD, Jsonb(odd))

    assert isinstance(told.get("text", told["error"]), str)
    assert isinstance(summary(told), str)
    assert await hand.one("SELECT powertools.error_class_v1(%s) AS class", Jsonb(odd))


async def test_an_error_is_kept_in_bounds_wherever_it_is_kept(each_hand: Hand) -> None:
    workflow = Workflow("huge")
    bad = workflow.add("bad", step())
    workflow.add("child", step({"error": bad.error}), deps={"bad": "continue"})
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"bad": ValueError(f"begins{'x' * 3_000_000}ends")})

    job, child = await each_hand.job(workflow_id, "bad"), await each_hand.job(workflow_id, "child")
    errors: list[Any] = [job.errors[0], (await each_hand.steps(workflow_id))["bad"].error, child.args["error"]]
    for error in errors:
        assert len(error["error"]) < LONGEST_ERROR + 100
        assert "begins" in error["error"]
        assert error["error"].rstrip().endswith("ends")
        assert "characters are left out" in error["error"]
        assert len(error["text"]) < LONGEST_TEXT + 100
        assert error["class"] == "ValueError"


async def test_a_huge_error_of_a_job_that_stock_oban_ran_is_in_bounds_in_its_step(hand: Hand) -> None:
    workflow_id = await hand.insert(_one())
    [job] = await hand.start((await hand.job(workflow_id, "bad")).id)

    huge = {"attempt": 1, "error": f'Traceback\n  File "x"\nValueError: {"x" * 3_000_000}'}
    await hand.rows(
        "UPDATE oban_jobs SET state = 'discarded', errors = errors || %s::jsonb WHERE id = %s", Jsonb(huge), job.id
    )

    error = (await hand.steps(workflow_id))["bad"].error
    assert error is not None
    assert len(error["error"]) < LONGEST_ERROR + 100
    assert error["class"] == "ValueError"


def _one() -> Workflow:
    workflow = Workflow("huge")
    workflow.add("bad", step())
    return workflow


async def test_the_reason_of_a_cancel_is_its_text_however_it_looks(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(_one())

    await each_hand.run(workflow_id, {"bad": Cancel("Order: 5\nis closed")})

    error = (await each_hand.steps(workflow_id))["bad"].error
    assert error is not None
    assert (error["text"], error.get("class")) == ("Order: 5\nis closed", None)


def test_an_exception_whose_text_cannot_be_had_is_told_of_all_the_same() -> None:
    assert describe_failure(SilentError()) == {
        "class": f"{HERE}.SilentError",
        "text": "(its text cannot be had: str() raises SystemExit)",
    }


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 12, 1000])
def test_what_is_left_of_a_text_and_what_is_left_out_make_the_whole(length: int) -> None:
    text = "ab" * (length // 2) + "c" * (length % 2)

    short = shortened(text, 10)

    left_out = int(short.split(" ... ")[1].split()[0]) if len(text) > 10 else 0
    assert left_out == max(0, length - 10)
    assert short == text or (short.startswith(text[:5]) and short.endswith(text[-5:]))


async def test_the_database_shortens_as_python_does(hand: Hand) -> None:
    text = "".join(chr(97 + n % 26) for n in range(101))

    for most in (10, 11, 100, 101):
        assert await hand.one("SELECT powertools.shortened(%s, %s) AS short", text, most) == shortened(text, most)


def test_a_job_whose_extra_was_spoiled_is_left_alone() -> None:
    job = Job("w")
    job.extra = None  # pyright: ignore[reportAttributeAccessIssue]

    remember_failure(job, ValueError())

    assert job.extra is None
