"""A call was given a wrong argument; nothing was done."""

from .base import PowertoolsError


class InvalidArgumentError(PowertoolsError, ValueError):
    """An argument is not what the call asks for; nothing was done."""

    code = "invalid_argument"
    sentence = "{argument} is {found}; expected {expected}"

    argument: str
    found: str
    expected: str
