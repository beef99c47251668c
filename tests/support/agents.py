"""An agent's client on the real command ``powertools mcp``, which runs as a process and speaks over its pipes."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.context import ClientRequestContext
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, ElicitResult, Implementation

from oban_powertools import Actor, ActorType, Calls
from oban_powertools.agents.door import Door
from oban_powertools.agents.server import build_server
from tests.support.command import POWERTOOLS, environment

POLICIES = """
def nobody(actor, action, target):
    raise PermissionError("nobody may")

def agents_too(actor, action, target):
    return True

def people_only(actor, action, target):
    return actor.type != "agent"

def previews_only(actor, action, target):
    return action.row.permission in ("preview_repair", "preview_bulk")
"""


class Agent:
    """What a test calls."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: list[str] = []

    async def call(self, name: str, **arguments: Any) -> Any:
        """The answer of a tool that succeeds."""
        result = await self.client.call_tool(name, arguments)
        assert not result.is_error, text_of(result)
        return result.structured_content

    async def refused(self, name: str, **arguments: Any) -> Any:
        """The error of a tool that does not."""
        result = await self.client.call_tool(name, arguments)
        assert result.is_error, text_of(result)
        assert result.structured_content is not None
        return result.structured_content["error"]


def text_of(result: CallToolResult) -> str:
    """What an agent reads."""
    [block] = result.content
    assert block.type == "text"
    return block.text


def document_of(result: CallToolResult) -> Any:
    """The same as JSON."""
    return json.loads(text_of(result))


async def read_as_agent(calls: Calls, workflow_id: int, steps: Iterable[str], job_ids: Iterable[int]) -> str:
    """Everything that the tools answer, in this process."""
    door = Door(calls=calls, agent=Actor(id="agent", type=ActorType.AGENT))
    asked: list[tuple[str, dict[str, Any]]] = [
        (name, {}) for name in ("list_incidents", "list_executors", "list_queues", "search_audit", "doctor")
    ]
    asked += [("get_workflow", {"workflow_id": workflow_id}), ("explain_workflow", {"workflow_id": workflow_id})]
    asked += [("explain_step", {"workflow_id": workflow_id, "step": step}) for step in steps]
    asked += [("explain_job", {"job_id": job_id}) for job_id in job_ids]
    asked += [("get_incident", {"incident": incident.id}) for incident in await calls.lifeline.list_incidents()]
    async with Client(build_server(door)) as client:
        results = [await client.call_tool(name, arguments) for name, arguments in asked]
    assert not any(result.is_error for result in results)
    return "\n".join(map(text_of, results))


@asynccontextmanager
async def agent(
    dsn: str, folder: Path, *arguments: str, mode: str = "auto", says: bool | None = None
) -> AsyncIterator[Agent]:
    """An agent on a database.

    Args:
        folder: The working directory of the command; gets a module ``policies``.
        arguments: Of ``powertools mcp``.
        mode: ``legacy`` for the protocols of before 2026-07-28.
        says: What the person answers; None for a client that cannot ask.
    """
    (folder / "policies.py").write_text(POLICIES)
    command = StdioServerParameters(
        command=POWERTOOLS, args=["mcp", "--on-behalf-of", "ada", *arguments], env=environment(dsn), cwd=folder
    )
    asked: list[str] = []

    async def ask(context: ClientRequestContext, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"confirm": says})

    about = Implementation(name="test-client", version="1")
    async with Client(
        command,
        mode=mode,
        client_info=about,
        elicitation_callback=None if says is None else ask,
        read_timeout_seconds=30,
    ) as client:
        one = Agent(client)
        one.asked = asked
        yield one
