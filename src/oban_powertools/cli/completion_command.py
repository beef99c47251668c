"""``completion``: print the script that completes commands and options in a shell.

It completes words of the command line only, and neither asks a database nor imports what an option names.
"""

import click
from click.shell_completion import get_completion_class

from .groups import examples
from .output import say_lines

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples("powertools completion bash > powertools.bash", "powertools completion fish > powertools.fish"),
)
@click.argument("shell", type=click.Choice(_SHELLS), metavar="SHELL")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes commands and options in bash, zsh or fish.

    The start file of your shell reads it: eval "$(powertools completion bash)".
    """
    script = get_completion_class(shell)
    assert script is not None, "click knows the three shells"
    say_lines(script(ctx.find_root().command, {}, "powertools", "_POWERTOOLS_COMPLETE").source())
