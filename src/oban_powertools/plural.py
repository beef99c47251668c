"""Say how many of something there are. No I/O."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things.

    Args:
        plural: The noun of several, where it is not the noun with an ``s``.

    >>> counted(1, "step"), counted(0, "step"), counted(2, "delivery", "deliveries")
    ('1 step', '0 steps', '2 deliveries')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
