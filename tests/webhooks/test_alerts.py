"""Quiet by design: one message for each incident and change of state, one for a storm, none while muted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oban_powertools import Cursor, IncidentChange, IncidentState, IncidentStatus, IncidentUpdated
from oban_powertools.database import record
from oban_powertools.states import IncidentId
from oban_powertools.webhooks.alerts import Alert, Storm, alerts_of
from oban_powertools.wire import to_json

NIGHT = datetime(2026, 11, 21, 3, tzinfo=UTC)
OPENED, RESOLVED = IncidentChange.OPENED, IncidentChange.RESOLVED
STATES = {OPENED: "active", IncidentChange.REOPENED: "active", IncidentChange.CHANGED: "active", RESOLVED: "resolved"}


class Night:
    """Incidents as they come, numbered."""

    def __init__(self) -> None:
        self.cursor = 0
        self.storms: dict[str, Storm] = {}

    def happens(self, number: int, change: IncidentChange = OPENED, **more: Any) -> IncidentUpdated:
        self.cursor += 1
        known: dict[str, Any] = {
            "incident_id": IncidentId(number),
            "fingerprint": f"late:{number}",
            "incident_class": "late",
            "change": change,
            "status": IncidentStatus.NEEDS_REVIEW,
            "state": IncidentState(STATES.get(change, "acknowledged")),
            "subject_type": "queue",
            "subject_id": str(number),
            "title": f"{number} is late",
            "count": 1,
            "waiting_workflows": 0,
            "waiting_steps": 0,
            "opened_at": NIGHT + timedelta(seconds=more.pop("second", 0)),
            "muted": False,
            "actor": None,
            "because": None,
            "timestamp": NIGHT + timedelta(seconds=self.cursor),
            "cursor": Cursor(self.cursor),
        }
        return IncidentUpdated(**{**known, **more})

    def tell(self, *events: IncidentUpdated, bundled: bool = False) -> list[Alert]:
        alerts, self.storms = alerts_of(events, self.storms, bundled=bundled)
        return alerts


@pytest.fixture
def night() -> Night:
    return Night()


def said(alerts: Sequence[Alert]) -> list[tuple[str, str, int]]:
    return [(alert.action.value, alert.key, len(alert.events)) for alert in alerts]


@pytest.mark.parametrize("bundled", [False, True])
def test_each_incident_has_one_message_for_each_change_of_state(night: Night, bundled: bool) -> None:
    changes = (OPENED, IncidentChange.ACKNOWLEDGED, RESOLVED)

    alerts = night.tell(*[night.happens(n, change) for change in changes for n in (1, 2)], bundled=bundled)

    actions = ("trigger", "acknowledge", "resolve")
    assert said(alerts) == [(action, f"late:{n}", 1) for action in actions for n in (1, 2)]


@pytest.mark.parametrize("bundled", [False, True])
def test_a_thousand_that_open_at_once_are_one_message(night: Night, bundled: bool) -> None:
    alerts = night.tell(*[night.happens(n) for n in range(1000)], bundled=bundled)

    assert said(alerts) == [("trigger", "storm:late", 1000)]


def test_a_storm_is_over_once_when_the_last_of_it_is_over(night: Night) -> None:
    night.tell(*[night.happens(n) for n in range(10)])

    some = night.tell(*[night.happens(n, RESOLVED) for n in range(9)])
    last = night.tell(night.happens(9, RESOLVED))

    assert some == []
    assert said(last) == [("resolve", "storm:late", 1)]
    assert night.storms == {}


def test_what_opens_during_a_storm_belongs_to_it(night: Night) -> None:
    night.tell(*[night.happens(n) for n in range(10)])

    more = night.tell(night.happens(10, second=5))
    over = night.tell(*[night.happens(n, RESOLVED, second=5 * (n == 10)) for n in range(11)])

    assert said(more) == [("trigger", "storm:late", 1)]
    assert said(over) == [("resolve", "storm:late", 11)]


def test_what_was_told_alone_before_a_storm_is_ended_alone(night: Night) -> None:
    night.tell(night.happens(1, second=-60))
    night.tell(*[night.happens(n) for n in range(10, 20)])

    assert said(night.tell(night.happens(1, RESOLVED, second=-60))) == [("resolve", "late:1", 1)]


def test_what_happens_to_one_of_a_storm_is_not_told(night: Night) -> None:
    night.tell(*[night.happens(n) for n in range(10)])

    assert night.tell(night.happens(1, IncidentChange.ACKNOWLEDGED), night.happens(2, IncidentChange.CHANGED)) == []


def test_a_storm_of_one_class_keeps_no_other_quiet(night: Night) -> None:
    night.tell(*[night.happens(n) for n in range(10)])

    other = night.happens(50, incident_class="poison", fingerprint="poison:50")
    assert said(night.tell(other)) == [("trigger", "poison:50", 1)]


@pytest.mark.parametrize("bundled", [False, True])
@pytest.mark.parametrize("change", [OPENED, IncidentChange.REOPENED, IncidentChange.ACKNOWLEDGED])
def test_nothing_is_told_of_a_muted_incident(night: Night, change: IncidentChange, bundled: bool) -> None:
    assert night.tell(night.happens(1, change, muted=True), bundled=bundled) == []


ENDED: Any = {"change": IncidentChange.CHANGED, "because": "its mute has ended"}


@pytest.mark.parametrize("bundled", [False, True])
def test_an_incident_whose_mute_has_ended_is_told_again_by_its_own_key(night: Night, bundled: bool) -> None:
    night.tell(night.happens(1), bundled=bundled)

    [alert] = night.tell(night.happens(1, **ENDED), bundled=bundled)

    assert (alert.action, alert.key) == ("trigger", "late:1")
    assert alert.is_asked_for(frozenset({"incident.opened"}), bundled=bundled)
    assert not alert.is_asked_for(frozenset({"incident.resolved"}), bundled=bundled)


def test_what_grew_is_not_asked_for_by_who_is_told_of_what_opens(night: Night) -> None:
    [alert] = night.tell(night.happens(1, IncidentChange.CHANGED))

    assert not alert.is_asked_for(frozenset({"incident.opened"}), bundled=False)


def test_a_chat_is_told_of_many_mutes_that_have_ended_in_one_message(night: Night) -> None:
    alerts = night.tell(*[night.happens(n, **ENDED) for n in range(20)], bundled=True)

    assert [len(alert.events) for alert in alerts] == [20]


@pytest.mark.parametrize("bundled", [False, True])
def test_mutes_of_a_storm_that_have_ended_are_one_message_of_it(night: Night, bundled: bool) -> None:
    night.tell(*[night.happens(n) for n in range(10)], bundled=bundled)

    assert said(night.tell(*[night.happens(n, **ENDED) for n in range(10)], bundled=bundled)) == [
        ("trigger", "storm:late", 10)
    ]


def test_an_alert_is_ended_also_for_who_asked_only_for_what_opens(night: Night) -> None:
    [alert] = night.tell(night.happens(1, RESOLVED))

    assert alert.is_asked_for(frozenset({"incident.opened"}), bundled=False)
    assert not alert.is_asked_for(frozenset({"incident.opened"}), bundled=True)
    assert not alert.is_asked_for(frozenset({"incident.acknowledged"}), bundled=False)


def test_an_alert_whose_incident_was_muted_is_ended_all_the_same_and_a_chat_is_told_nothing(night: Night) -> None:
    assert said(night.tell(night.happens(1, RESOLVED, muted=True))) == [("resolve", "late:1", 1)]
    assert night.tell(night.happens(1, RESOLVED, muted=True), bundled=True) == []


def test_a_chat_is_told_of_many_that_are_over_at_once_in_one_message(night: Night) -> None:
    alerts = night.tell(*[night.happens(n, RESOLVED) for n in range(20)], bundled=True)

    assert [len(alert.events) for alert in alerts] == [20]


def test_a_storm_is_kept_with_its_endpoint() -> None:
    storm = Storm(since=NIGHT, open=7)

    assert record(Storm, to_json(storm)) == storm


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=60))
def test_whatever_was_told_as_open_is_told_as_over_once(moves: list[tuple[int, bool, bool, int]]) -> None:
    """Incidents open and end in any order, on pages of any size, some of them muted meanwhile."""
    night, open_, pages = Night(), dict[int, int](), [list[IncidentUpdated]()]
    for second, (number, ends, muted, page) in enumerate([*moves, *[(n, True, False, 1) for n in range(13)]]):
        if ends and number in open_:
            pages[-1].append(night.happens(number, RESOLVED, muted=muted, second=open_.pop(number)))
        elif not ends and number not in open_:
            open_[number] = second
            pages[-1].append(night.happens(number, muted=muted, second=second))
        if page == 0:
            pages.append([])

    alerts = [alert for page in pages for alert in night.tell(*page)]

    telling = set[str]()
    for alert in alerts:
        assert alert.action.value == "resolve" or alert.key.startswith("storm") or alert.key not in telling
        telling = telling - {alert.key} if alert.action.value == "resolve" else telling | {alert.key}
    assert telling == set()
    assert night.storms == {}
    assert len({alert.cursor for alert in alerts}) == len(alerts)
