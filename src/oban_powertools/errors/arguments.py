"""What a call was given that is not what it asks for; nothing was done."""

from .base import PowertoolsError


class InvalidArgumentError(PowertoolsError, ValueError):
    """An argument is not what the call asks for; nothing was done."""

    code = "invalid_argument"

    def __init__(self, argument: str, found: str, expected: str) -> None:
        super().__init__(argument, found, expected)
        self.argument = argument
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.argument} is {self.found}; expected {self.expected}"
