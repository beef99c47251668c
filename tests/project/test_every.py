"""What is done every so often: due at once, then a while after each rest."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from oban_powertools import every
from oban_powertools.every import Every

HOUR = timedelta(hours=1)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def move(self, time: timedelta) -> None:
        self.now += time.total_seconds()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(every, "time", clock)
    return clock


def test_it_is_due_at_once(clock: Clock) -> None:
    assert Every(HOUR).is_due


def test_it_is_due_for_the_first_time_after_its_first_time(clock: Clock) -> None:
    soon = Every(HOUR, first_after=timedelta(minutes=1))

    assert not soon.is_due
    clock.move(timedelta(minutes=1))
    assert soon.is_due


def test_it_is_taken_once_in_its_interval(clock: Clock) -> None:
    hourly = Every(HOUR)

    taken = []
    for _ in range(4):
        taken.append(hourly.take())
        clock.move(HOUR / 2)

    assert taken == [True, False, True, False]


def test_what_was_not_due_does_not_rest(clock: Clock) -> None:
    hourly = Every(HOUR, first_after=HOUR)
    clock.move(HOUR / 2)

    hourly.take()

    assert hourly.due_in == 1800


@pytest.mark.parametrize(
    ("change", "due_in"),
    [
        (lambda hourly: hourly.rest(), 3600),
        (lambda hourly: hourly.rest(timedelta(seconds=5)), 5),
        (lambda hourly: hourly.hurry(), 0),
    ],
    ids=["rest", "rest for another time", "hurry"],
)
def test_it_says_in_how_many_seconds_it_is_due(clock: Clock, change: Callable[[Every], None], due_in: float) -> None:
    hourly = Every(HOUR, first_after=HOUR / 2)

    change(hourly)

    assert hourly.due_in == due_in
