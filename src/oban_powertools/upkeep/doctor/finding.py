"""The records of the doctor's report. No I/O."""

from dataclasses import dataclass
from enum import StrEnum

from ...wire import AsDict


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Something is broken, or will be lost."""

    WARNING = "warning"
    """It works, and is at risk or worse than it should be."""

    NOTE = "note"
    """Good to know; nothing is to be done on this database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(AsDict):
    """One thing that is not as it should be."""

    check: str
    """The check that found it, such as ``settle_faults``; stable."""

    level: Level
    """How bad it is."""

    subject: str
    """What it is about: ``workflow 7, step 2``, ``function settle``, ``queue mail``."""

    found: str
    """What is there."""

    expected: str
    """What should be."""

    todo: str
    """What to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(AsDict):
    """A check that could not be made."""

    check: str
    """Its name."""

    error: str
    """Why not, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(AsDict):
    """What an examination found."""

    checks: tuple[str, ...]
    """The checks that were made, in order, also those that found nothing."""

    findings: tuple[Finding, ...]
    """Errors first, then warnings; of each check at most 20."""

    notes: tuple[Finding, ...]
    """What is good to know."""

    broken: tuple[Broken, ...]
    """Checks that could not be made: of what they look for, nothing is known."""

    @property
    def sound(self) -> bool:
        """Whether every check was made and none found anything but notes."""
        return not self.findings and not self.broken
