"""What must be equal on all nodes is a row: two processes, an operator and the command line see the same value."""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from oban_powertools import Powertools, Settings
from oban_powertools.config import SHARED, SharedKind
from oban_powertools.errors import InvalidArgumentError, InvalidSettingError
from oban_powertools.lifeline.incidents import Projector
from oban_powertools.upkeep.settings import StoredSetting, adopt, spell
from tests.support.by_hand import Hand, by_hand, chain
from tests.support.command import powertools
from tests.support.executing import LONG_AGO, beat, restarted, silent, take
from tests.support.troubles import fail, plain

ADA: Any = {"actor": "ada", "reason": "because of a test"}
NAME = "incident_failing_count"


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Hand]:
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


async def stored(hand: Hand) -> Mapping[str, StoredSetting]:
    return {setting.name: setting for setting in await hand.powertools.shared_settings.list_settings()}


async def test_an_installation_has_every_setting_with_its_default(hand: Hand) -> None:
    rows = await hand.rows("SELECT name, value FROM powertools.settings WHERE changed_at IS NULL")

    assert {row["name"]: row["value"] for row in rows} == {
        name: setting.to_row(setting.default) for name, setting in SHARED.items()
    }


async def test_every_field_of_settings_that_is_shared_says_nothing_until_it_is_given() -> None:
    assert Settings().shared() == {}


async def test_the_first_process_with_a_value_sets_it_on_record(hand: Hand) -> None:
    await adopt(hand.session, Settings(incident_failing_count=7, retention={"audit": None}))

    found = await stored(hand)
    assert (found[NAME].value, found["retention.audit"].value) == (7, None)
    assert (found[NAME].changed_by, found[NAME].changed_at is None) == (None, False)
    assert found["incident_stuck_after"].changed_at is None
    [record] = await hand.powertools.audit.list(action="settings_change", target_id=NAME)
    assert (record.actor_type, record.before, record.after) == ("system", {"value": 5}, {"value": 7})


async def test_a_process_with_another_value_is_told_and_changes_nothing(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    await adopt(hand.session, Settings(incident_failing_count=7, incident_stuck_after=timedelta(minutes=10)))

    with caplog.at_level(logging.WARNING):
        await adopt(hand.session, Settings(incident_failing_count=3, incident_stuck_after=timedelta(minutes=10)))

    [line] = [record.getMessage() for record in caplog.records]
    assert f"{NAME} is 7 in the database, 3 here" in line
    assert "incident_stuck_after" not in line
    assert "powertools settings set" in line
    assert (await stored(hand))[NAME].value == 7


async def test_a_process_without_an_opinion_or_with_the_same_is_told_nothing(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    await adopt(hand.session, Settings(incident_failing_count=7))

    with caplog.at_level(logging.WARNING):
        await adopt(hand.session, Settings())
        await adopt(hand.session, Settings(incident_failing_count=7))

    assert caplog.records == []


async def test_two_processes_that_were_started_with_different_values_judge_alike(dsn: str) -> None:
    first, second = Settings(incident_failing_count=2), Settings(incident_failing_count=9)
    async with (
        Powertools.open(dsn, settings=first, queues={"mail": 1}) as one,
        Powertools.open(dsn, settings=second, queues={"mail": 1}, node="node-b") as other,
    ):
        found = [
            {setting.name: setting.value for setting in await each.shared_settings.list_settings()}[NAME]
            for each in (one, other)
        ]
        doctor = powertools("doctor", "--json", dsn=dsn).json
        status = powertools("status", dsn=dsn)

    assert found == [2, 2]
    [finding] = [finding for finding in doctor["findings"] if finding["check"] == "settings"]
    assert (finding["subject"], finding["found"]) == (NAME, "2 in the database, 9 where node-b was started")
    assert f"processes were started with other ones: {NAME}" in status.out
    assert status.code == 0


async def test_what_an_operator_sets_counts_from_the_next_look_on(hand: Hand) -> None:
    await fail(hand, await plain(hand), await plain(hand))
    projector = Projector(Settings(incident_failing_count=5))
    await projector.project(hand.session)
    before = await hand.powertools.lifeline.list_incidents()

    changed = await hand.powertools.shared_settings.change(NAME, 2, **ADA)
    await projector.project(hand.session)

    assert before == []
    assert (changed.value, changed.changed_by) == (2, "ada")
    assert [each.incident_class for each in await hand.powertools.lifeline.list_incidents()] == ["failing_jobs"]
    [record] = await hand.powertools.audit.list(actor="ada")
    assert (record.action, record.target_type, record.target_id) == ("settings_change", "setting", NAME)
    assert (record.before, record.after, record.reason) == ({"value": 5}, {"value": 2}, ADA["reason"])


WRONG = {
    SharedKind.SPAN: (None, True, "1h", timedelta(0), timedelta.max),
    SharedKind.SPAN_OR_FOREVER: (59, timedelta(seconds=59), timedelta.max),
    SharedKind.COUNT: (None, 0, True, "5", 1.5),
    SharedKind.RESCUE_MODES: (None, 7, {"mail": "sometimes"}, {7: "operator"}),
}


@pytest.mark.parametrize("name", SHARED)
async def test_a_value_that_a_setting_cannot_have_is_refused(hand: Hand, name: str) -> None:
    for value in WRONG[SHARED[name].kind]:
        with pytest.raises(InvalidArgumentError):
            await hand.powertools.shared_settings.change(name, value, **ADA)


async def test_a_setting_that_does_not_exist_is_refused(hand: Hand) -> None:
    with pytest.raises(InvalidArgumentError, match="incident_stuck_after"):
        await hand.powertools.shared_settings.change("incident_stuck", 7, **ADA)
    with pytest.raises(InvalidSettingError, match="workflows"):
        Settings(retention={"workflow": None})


@pytest.mark.parametrize(
    ("name", "value"), [(NAME, "null"), ("rescue", "7"), ("events_kept_for", "null"), ("retention.audit", "{}")]
)
async def test_a_value_of_another_kind_cannot_be_stored(hand: Hand, name: str, value: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await hand.rows("UPDATE powertools.settings SET value = %s::jsonb WHERE name = %s", value, name)


async def test_an_operators_change_without_its_record_is_refused_at_the_commit(hand: Hand) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="without its other half"):
        await hand.rows("UPDATE powertools.settings SET changed_at = now(), changed_by = 'eve'")


async def test_a_setting_whose_row_is_gone_is_no_silent_default(hand: Hand) -> None:
    async with hand.conn.transaction(force_rollback=True):
        await hand.rows("DELETE FROM powertools.settings WHERE name = 'incident_stuck_after'")

        with pytest.raises(psycopg.errors.NoDataFound, match="incident_stuck_after has no row"):
            await Projector(Settings()).project(hand.session)


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        (None, "forever"),
        (timedelta(days=7), "7d"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=0.5), "0.5s"),
        (timedelta(hours=36), "36h"),
        (5, "5"),
        ({"mail": "operator"}, '{"mail":"operator"}'),
    ],
)
def test_a_value_is_spelt_as_the_command_takes_it(value: Any, spelt: str) -> None:
    assert spell(value) == spelt


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        (NAME, "3", 3),
        ("incident_stuck_after", "90s", 90.0),
        ("retention.archive", "1d", 86400.0),
        ("retention.audit", "forever", None),
        ("rescue", '{"*": "operator"}', {"*": "operator"}),
    ],
)
async def test_the_command_sets_and_lists_it(hand: Hand, name: str, typed: str, value: Any) -> None:
    ended = powertools(
        "settings", "set", name, typed, "--actor", "ada", "--reason", "for tests", "--json", dsn=hand.dsn
    )

    assert (ended.code, ended.json["setting"]["value"], ended.json["setting"]["changed_by"]) == (0, value, "ada")
    listed = powertools("settings", "list", "--json", dsn=hand.dsn).json["settings"]
    assert {each["name"]: each["value"] for each in listed} == {
        **{name: setting.to_row(setting.default) for name, setting in SHARED.items()},
        name: value,
    }


@pytest.mark.parametrize(
    ("name", "typed"), [(NAME, "many"), ("incident_stuck_after", "forever"), ("retention.audit", "7"), ("x", "7")]
)
def test_the_command_refuses_what_is_no_such_value(name: str, typed: str) -> None:
    ended = powertools("settings", "set", name, typed, "--reason", "for a test", dsn="postgresql://nowhere/")

    assert ended.code == 2
    assert len(ended.error.splitlines()) == 1


@pytest.mark.parametrize(
    ("late_after", "missing_after", "refused_with"),
    [(45, 120, "alive"), (0.01, 120, "late"), (0.01, 0.02, None)],
    ids=["healthy", "late", "missing"],
)
async def test_the_command_line_judges_a_rescue_as_the_application_does(
    hand: Hand, late_after: float, missing_after: float, refused_with: str | None
) -> None:
    workflow_id = await hand.insert(chain(1))
    job = await hand.job(workflow_id, "s0")
    await take(hand, job.id, "p1")
    await beat(hand, "p1", gone_after=3600)
    await hand.settings(
        executor_late_after=timedelta(seconds=late_after), executor_missing_after=timedelta(seconds=missing_after)
    )
    await silent(hand, "p1", 30)

    async with restarted(hand, LONG_AGO):
        typed = powertools("repair", "preview", "job_rescue", str(job.id), "--json", dsn=hand.dsn)
        refusal = None
        try:
            await hand.powertools.lifeline.preview_repair(
                "ada", action="job_rescue", target_type="job", target_id=str(job.id)
            )
        except Exception as error:  # noqa: BLE001 - whatever the application says
            refusal = str(error)

    assert (typed.code == 0) == (refusal is None) == (refused_with is None)
    seconds = re.compile(r"\d+ s")
    assert refusal is None or seconds.sub("", refusal) in seconds.sub("", typed.err)
