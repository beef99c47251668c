"""The base of every error, with its stable code. Nothing here knows what went wrong."""

from typing import ClassVar


class PowertoolsError(Exception):
    """The base of every error of this package."""

    code: ClassVar[str] = "powertools_error"
    """Stable name for scripts; it never changes with the wording."""

    def __repr__(self) -> str:
        # What Oban writes down of an attempt that fails with an error as its value.
        return f"{type(self).__name__}({str(self)!r})"
