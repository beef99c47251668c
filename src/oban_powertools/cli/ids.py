"""Parse ids typed on the command line."""

import click


def parse_id(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Parse an id: a whole number that fits a bigint; None when the option is absent.

    Raises:
        BadParameter: It is no such number.
    """
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 2**63):
        raise click.BadParameter(f"{value!r} is not an id: ids are whole numbers from 1", ctx, param)
    return int(value)
