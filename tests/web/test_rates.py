"""How often one actor may act."""

import pytest

from oban_powertools.errors import InvalidSettingError
from oban_powertools.web.rates import Buckets, Rate, Rates


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_minute_s_worth_may_come_at_once(clock: Clock) -> None:
    buckets = Buckets(Rates(executes=10), clock)

    waits = [buckets.take("ada", Rate.EXECUTE) for _ in range(11)]

    assert waits == [0] * 10 + [6]


def test_a_token_comes_back_after_its_share_of_a_minute(clock: Clock) -> None:
    buckets = Buckets(Rates(bulks=2), clock)
    taken = [buckets.take("ada", Rate.BULK) for _ in range(3)]

    clock.now += 30

    assert (taken, buckets.take("ada", Rate.BULK), buckets.take("ada", Rate.BULK)) == ([0, 0, 30], 0, 30)


def test_actors_and_kinds_have_buckets_of_their_own(clock: Clock) -> None:
    buckets = Buckets(Rates(bulks=1), clock)
    buckets.take("ada", Rate.BULK)

    assert [buckets.take("ada", Rate.BULK), buckets.take("grace", Rate.BULK), buckets.take("ada", Rate.PREVIEW)] == [
        60,
        0,
        0,
    ]


def test_what_is_refused_takes_no_token(clock: Clock) -> None:
    buckets = Buckets(Rates(bulks=1), clock)
    for _ in range(50):
        buckets.take("ada", Rate.BULK)

    clock.now += 60

    assert buckets.take("ada", Rate.BULK) == 0


@pytest.mark.parametrize("rate", [0, -1, 1.5, "3", None])
def test_a_rate_is_a_whole_number_of_at_least_one(rate) -> None:
    with pytest.raises(InvalidSettingError):
        Rates(previews=rate)
