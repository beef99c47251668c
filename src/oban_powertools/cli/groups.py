"""How commands show their help."""

from typing import Any

import click

from .exits import Exit, StoppedError


class Group(click.Group):
    """A group that shows its help on stderr and fails when no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, whose own behaviour here differs from version to version."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.USAGE)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click, which would make a 1 of a reader that left."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise StoppedError("who read the answer has left", Exit.BROKEN_PIPE) from error


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy, which click must not wrap."""
    return "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))
