"""What every tool works on: the calls, the agent, and what it may be given. No protocol.

The rule that must never break: whatever an agent does is recorded as the agent's, with the person it acts for.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..calls import Calls
from ..operators.authorization import Actor

type ToolAnswer = dict[str, Any]
"""What a tool found: label -> a record, records, or a value that ``wire`` can write."""

type Confirm = Callable[[str], Awaitable[bool | None]]
"""Asks the person a question; None when the client cannot ask anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One agent's way to one database."""

    calls: Calls
    """Every call, with the host's policy."""

    agent: Actor
    """The agent, with ``on_behalf_of``."""

    may_execute: bool = False
    """Whether it may execute what it has previewed, as far as the host's policy lets it."""

    def introduced(self, client: str | None) -> "Door":
        """The same door for a client that has said its name, which is only a label."""
        return self if not client else replace(self, agent=replace(self.agent, label=client))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a tool."""

    door: Door
    """Where it comes through."""

    arguments: Mapping[str, Any]
    """Argument -> value, of those that the tool knows; the required ones are there."""

    confirm: Confirm
    """Asks the person."""

    def __getitem__(self, name: str) -> Any:
        """The value of an argument; None when it was not passed."""
        return self.arguments.get(name)
