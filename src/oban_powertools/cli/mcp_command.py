"""``mcp``: give an agent the tools of an operator, over standard input and output.

The rule that must never break: an agent may execute nothing unless the command line says so and a policy decides.
"""

import asyncio

import click

from ..errors import ExtraMissingError
from ..operators.authorization import Actor, ActorType, Authorize
from .exits import Exit
from .groups import examples
from .importing import asks_nobody
from .next_commands import Repeated
from .target import Database, on_database
from .values import authorize_option, this_user


@click.command(epilog=examples("powertools mcp", "powertools mcp --agent night-watch --on-behalf-of ada"))
@click.option(
    "--on-behalf-of",
    cls=Repeated,
    envvar="POWERTOOLS_ACTOR",
    show_envvar=True,
    default=this_user,
    help="The person for whom the agent acts.  [default: user@host]",
)
@click.option(
    "--agent",
    envvar="POWERTOOLS_AGENT",
    show_envvar=True,
    metavar="ID",
    help="The agent's own id, for the policy and the audit.  [default: agent:PERSON]",
)
@click.option(
    "--allow-execute", is_flag=True, help="Let it execute what it has previewed, as far as the policy lets it."
)
@authorize_option
@on_database
def mcp(target: Database, *, on_behalf_of: str, agent: str | None, allow_execute: bool, authorize: Authorize) -> int:
    """Give an agent the tools of an operator: it reads and previews, a person executes.

    Speaks the Model Context Protocol on standard input and output until its input ends; an agent's program starts it.
    Needs the extra mcp.
    """
    if allow_execute and asks_nobody(authorize):
        raise click.UsageError(
            "--allow-execute needs a policy that says what agents may do: pass --authorize MODULE:NAME, or write "
            "authorize under [powertools] in oban.toml"
        )
    actor = Actor(id=agent or f"agent:{on_behalf_of}", type=ActorType.AGENT, on_behalf_of=on_behalf_of)
    asyncio.run(_serve(target, actor, authorize, may_execute=allow_execute))
    return Exit.DONE


async def _serve(target: Database, agent: Actor, authorize: Authorize, *, may_execute: bool) -> None:
    try:
        from ..agents.door import Door
        from ..agents.server import serve_agent
    except ModuleNotFoundError as error:
        raise ExtraMissingError("mcp", error.name or "") from error

    async with target.following(authorize) as calls:
        door = Door(calls=calls, agent=agent, may_execute=may_execute)
        await serve_agent(door)
