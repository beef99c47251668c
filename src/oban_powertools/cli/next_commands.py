"""The command that follows from an answer, complete and quoted for a shell, so that it can be copied.

It repeats the options that said which database is meant and who acts. The rule that must never break: a password is
never printed; whoever passed one in ``--dsn`` has to write it again.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

import click

from ..privacy.redaction import redacted
from ..states import ExecutorStatus, IncidentStatus, JobState, OperatorStatus, WorkflowState
from .program import as_called

_REPEATED: Final = "oban_powertools.repeated"
_WHY: Final = '--reason "..."'
"""As it is printed: the reader writes the reason."""

_AS_YOURS: Final = "  # where your workers are, with your limit and --import"
"""Behind a command that starts a process: the database knows the queue, and nothing else of how yours are started."""

_WORST_FIRST: Final[Sequence[frozenset[str]]] = (
    frozenset({OperatorStatus.NEEDS_REVIEW, ExecutorStatus.MISSING}),
    frozenset({OperatorStatus.BLOCKED, ExecutorStatus.LATE}),
    frozenset({WorkflowState.FAILED, WorkflowState.EXPIRED, JobState.DISCARDED}),
    frozenset({JobState.RETRYABLE}),
    frozenset({IncidentStatus.ACKNOWLEDGED}),
    frozenset({OperatorStatus.WAITING}),
    frozenset({OperatorStatus.RUNNABLE, OperatorStatus.RUNNING, ExecutorStatus.HEALTHY}),
    frozenset({IncidentStatus.MUTED}),
)
"""Operator's words and raw states, in the order in which they need somebody; what has none of them comes last."""


class _HasWord(Protocol):
    """A record with the operator's word; its raw state counts too, where it has one."""

    @property
    def status(self) -> str | None: ...


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
    return as_called(" ".join(parts)) + (_AS_YOURS if words[:1] == ("start",) else "")


def repeated(command: str) -> str:
    """A command of a shell; one of ours with the options that said which database is meant."""
    program, *words = shlex.split(command)
    return command_line(*words) if program == "powertools" else command


def worst_first[T: _HasWord](records: Sequence[T]) -> list[T]:
    """Those that need somebody soonest first, else in their order."""
    return sorted(records, key=_rank)


def find_worst[T: _HasWord](records: Sequence[T]) -> T | None:
    """The first of those that need somebody soonest; None when there is no record."""
    return min(records, key=_rank, default=None)


def _rank(record: _HasWord) -> int:
    words = {record.status, getattr(record, "state", None)}
    return next((rank for rank, worst in enumerate(_WORST_FIRST) if words & worst), len(_WORST_FIRST))


def _typed(ctx: click.Context) -> dict[str, str]:
    return cast("dict[str, str]", ctx.meta.setdefault(_REPEATED, {}))
