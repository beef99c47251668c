"""How commands show their help."""

import copy
import importlib
from collections.abc import Mapping
from typing import Any

import click

from .exits import Exit, StoppedError
from .program import as_called


class Group(click.Group):
    """A group that shows its help on stderr and fails when no command is named."""

    beside: click.Group | None = None
    """A group whose commands are found in this one, too, though its help does not list them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """As click; looks in the group beside as well."""
        found = super().get_command(ctx, cmd_name)
        return found if found or self.beside is None else self.beside.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click; the examples of its help begin with the program that was called."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and command.epilog and (epilog := as_called(command.epilog)) != command.epilog:
            command = copy.copy(command)
            command.epilog = epilog
        return name, command, rest

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, whose behaviour here differs between versions."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.USAGE)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click, which would exit with 1 when the reader of a pipe has left."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise StoppedError("who read the answer has left", Exit.BROKEN_PIPE) from error


class LazyGroup(Group):
    """A group whose commands are imported when they are called for.

    Args:
        lazy: Command -> the module that defines it under its name, and its line in the help. A module is beside this
        one, or relative with dots: ``..demo.command``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """As click, without importing anything."""
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """As click; imports the command, and takes the singular for the plural and the other way round."""
        spellings = (cmd_name, f"{cmd_name}s", cmd_name.removesuffix("s"))
        cmd_name = next((name for name in spellings if name in self._lazy), cmd_name)
        if cmd_name in self._lazy and cmd_name not in self.commands:
            name = self._lazy[cmd_name][0]
            module = importlib.import_module(name if name.startswith(".") else f".{name}", __package__)
            self.add_command(getattr(module, cmd_name))
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """As click, without importing anything."""
        from click.shell_completion import CompletionItem

        lines = ((name, line) for name, (_, line) in sorted(self._lazy.items()) if name.startswith(incomplete))
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=line) for name, line in lines), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """As click, from the lines of this group."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(self._lazy.items())])


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy, which click must not wrap."""
    return "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))
