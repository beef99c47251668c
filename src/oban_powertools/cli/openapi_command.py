"""``openapi``: print the OpenAPI document of the JSON API, which docs/reference/openapi.json keeps.

It asks no database.
"""

import json

import click

from .groups import examples
from .output import say_json


@click.command(epilog=examples("powertools openapi > openapi.json"))
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the JSON API.

    It needs the extra web.
    """
    from ..web.api import document

    say_json(json.dumps(document(), indent=2, ensure_ascii=False))
