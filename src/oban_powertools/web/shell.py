"""What is the same on every page of a console: what the host says about it, and the menu."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ..config import check_fields
from ..graph.layouts import Layouts

READ_WITHIN: Final = timedelta(seconds=3)
"""How long a part of a page may read, unless the host says otherwise; then the page says so, and goes on without it."""

_WHOLE: Final = 2
_LEAST: Final = 1 / 6
"""Of what a part has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NavEntry:
    """One page in the menu."""

    name: str
    """Its module in ``pages``."""

    title: str
    """What the menu says."""

    path: str
    """Where it is, without the console's own path."""

    key: str | None
    """``g``, then this key, goes there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the host says about the console."""

    name: str
    """The name of this installation."""

    environment: str | None
    """Its environment in a word, such as ``Production``."""

    read_only: bool
    """Whether nothing may be changed here."""

    everybody_may: bool
    """Whether the policy is ``AllowAll``."""

    base_path: str | None
    """The path under which the host mounts it, where its server does not say so in ``root_path``."""

    login_url: str | None
    """Where somebody unknown signs in."""

    oban_web: str | None
    """Where Oban Web is, to which pages of jobs link."""

    read_within: timedelta = READ_WITHIN
    """How long a part of a page may read."""

    others: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name -> address of other consoles of the same server."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def page_within(self) -> timedelta:
        """How long a whole page may read, with what it reads one after another; its query is cancelled then."""
        return self.read_within * _WHOLE

    @property
    def read_at_least(self) -> timedelta:
        """How long a part has in any case that is read after others have taken long."""
        return self.read_within * _LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What is the same on every page of a console."""

    options: Options
    """As the host has it."""

    nav: tuple[tuple[NavEntry, ...], ...]
    """The menu, in groups."""

    sayings: Mapping[str, str]
    """Word in ``?said=`` -> the sentence that the next page shows after a redirect."""

    layouts: Layouts = field(default_factory=Layouts)
    """Of the graphs that were looked at last."""
