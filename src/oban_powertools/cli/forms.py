"""The form of an answer: a table for people, JSON for programs; one pair of options for every command."""

import functools
import itertools
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final

import click


class Form(StrEnum):
    """How a command prints its answer."""

    TABLE = "table"
    """For people: tables, facts and sentences."""

    JSON = "json"
    """One document."""

    JSONL = "jsonl"
    """A list as one document a line for each record, any other answer as one line."""

    @property
    def is_json(self) -> bool:
        """Whether a program reads it."""
        return self is not Form.TABLE


def form_of(arguments: Sequence[str]) -> Form:
    """The form that the arguments of a command line ask for, whatever else is wrong with them."""
    options = [*arguments[: arguments.index("--")]] if "--" in arguments else [*arguments]
    asked = [after for before, after in itertools.pairwise(options) if before == "--output"]
    asked += [each.removeprefix("--output=") for each in options if each.startswith("--output=")]
    if "--json" in options:
        return Form.JSON
    return next((form for form in Form if form.value in asked), Form.TABLE)


_OUTPUT: Final = click.option(
    "--output",
    type=click.Choice([form.value for form in Form]),
    help="How to answer; jsonl is one record a line.  [default: table]",
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="The same as --output json.")


def formatted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--output`` and ``--json``; the command gets ``form``."""

    @_OUTPUT
    @_JSON
    @functools.wraps(command)
    def run(*arguments: Any, output: str | None, as_json: bool, **options: Any) -> Any:
        if as_json and output not in (None, Form.JSON):
            raise click.UsageError(f"--json and --output {output} name two forms: give one of them")
        form = Form.JSON if as_json else Form(output or Form.TABLE)
        return command(*arguments, form=form, **options)

    return run
