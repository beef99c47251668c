"""How this command was called: ``powertools``, or ``manage.py powertools``, so that what it prints can be copied."""

import re
from collections.abc import Collection, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

USUAL: Final = "powertools"


@dataclass(frozen=True, slots=True)
class _Called:
    program: str
    hint: re.Pattern[str]


_CALLED: Final[ContextVar[_Called | None]] = ContextVar("_CALLED", default=None)


@contextmanager
def called(program: str, commands: Collection[str]) -> Generator[None]:
    """Print commands of ours as those of another program for as long as this one runs.

    Args:
        program: As it is typed.
        commands: Ours.
    """
    hint = re.compile(rf"(?<![\w./-])(?<!manage\.py ){USUAL}(?= (?:{'|'.join(map(re.escape, commands))})\b)")
    token = _CALLED.set(None if program == USUAL else _Called(program, hint))
    try:
        yield
    finally:
        _CALLED.reset(token)


def as_called(sentence: str) -> str:
    """A text in which our commands are those of the program that was called."""
    how = _CALLED.get()
    return sentence if how is None else how.hint.sub(how.program, sentence)
