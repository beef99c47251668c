"""A finding about a step, a job or a workflow, before it belongs to an explanation. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .explanations import Blocker, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockerFinding:
    """One blocker, before it has a subject."""

    code: str
    """A ``BlockerCode``, or a state verbatim."""

    scope: Scope
    """What kind of thing it belongs to."""

    says: str
    """The sentence without its subject."""

    retry_at: datetime | None = None
    """When it passes by itself."""

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The facts behind it."""

    def blocker(self, subject: str) -> Blocker:
        """The finding about this subject."""
        return Blocker(
            code=self.code,
            scope=self.scope,
            summary=f"{subject} {self.says}",
            retry_at=self.retry_at,
            details=self.details,
        )
