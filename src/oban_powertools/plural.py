"""Say how many of something there are. No I/O."""

from collections.abc import Mapping


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things.

    Args:
        plural: The noun of several, where it is not the noun with an ``s``.

    >>> counted(1, "step"), counted(0, "step"), counted(2, "delivery", "deliveries")
    ('1 step', '0 steps', '2 deliveries')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def tallied(numbers: Mapping[str, int]) -> list[str]:
    """How many there are of each word, without those of which there are none.

    >>> tallied({"failed": 1, "cancelled": 2, "expired": 0})
    ['1 failed', '2 cancelled']
    """
    return [f"{number} {word}" for word, number in numbers.items() if number]
