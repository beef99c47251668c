"""The command that follows from an answer, complete and quoted for a shell, so that it can be copied.

It repeats the options that said which database is meant and who acts. The rule that must never break: a password is
never printed; whoever passed one in ``--dsn`` has to write it again.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

import click

from ..privacy.redaction import redacted
from ..states import ExecutorStatus, OperatorStatus

_REPEATED: Final = "oban_powertools.repeated"
_WHY: Final = '--reason "..."'
"""As it is printed: the reader writes the reason."""

_URGENCY: Final[Mapping[str, int]] = {
    OperatorStatus.NEEDS_REVIEW: 0,
    ExecutorStatus.MISSING: 0,
    OperatorStatus.BLOCKED: 1,
    ExecutorStatus.LATE: 1,
    OperatorStatus.WAITING: 2,
}
"""The operator's word -> how soon it needs somebody; any other word comes last."""


class _HasStatus(Protocol):
    @property
    def status(self) -> str: ...


class Repeated(click.Option):
    """An option that the next command needs as well, when the command line had it."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """As click; remembers what was typed."""
        if self.name in opts:
            _typed(ctx)[self.opts[0]] = str(opts[self.name])
        return super().handle_parse_result(ctx, opts, args)


def command_line(*words: object, acts: bool = False, reason: bool = False) -> str:
    """A command of ours to copy.

    Args:
        words: What follows ``powertools``.
        acts: Whether it takes ``--actor`` and ``--authorize``.
        reason: Whether it asks for a reason, which the reader writes.
    """
    ctx = click.get_current_context(silent=True)
    typed = _typed(ctx) if ctx else {}
    options = {name: value for name, value in typed.items() if acts or reason or name not in ("--actor", "--authorize")}
    parts = [shlex.join(["powertools", *map(str, words)]), *([_WHY] if reason else [])]
    parts += [shlex.join([name, redacted(value)]) for name, value in options.items()]
    return " ".join(parts)


def repeated(command: str) -> str:
    """A command of a shell; one of ours with the options that said which database is meant."""
    program, *words = shlex.split(command)
    return command_line(*words) if program == "powertools" else command


def most_urgent_first[T: _HasStatus](records: Sequence[T]) -> list[T]:
    """Those that need somebody soonest first, else in their order."""
    return sorted(records, key=lambda record: _URGENCY.get(record.status, len(_URGENCY)))


def most_urgent[T: _HasStatus](records: Sequence[T]) -> T | None:
    """The first of those that need somebody soonest; None when there is no record."""
    return min(records, key=lambda record: _URGENCY.get(record.status, len(_URGENCY)), default=None)


def _typed(ctx: click.Context) -> dict[str, str]:
    return cast("dict[str, str]", ctx.meta.setdefault(_REPEATED, {}))
