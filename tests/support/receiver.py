"""A receiver of webhooks: a real HTTP server on loopback that checks every message with independent packages."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import uvicorn
from cloudevents.v1.http import from_http
from standardwebhooks.webhooks import Webhook

from tests.support.ledger import eventually


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]

    @cached_property
    def event(self) -> Any:
        """The CloudEvent that it is."""
        return from_http(self.headers, self.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def kind(self) -> str:
        return self.event["type"].removeprefix("oban_powertools.")

    @property
    def subject(self) -> str:
        return self.event["subject"]

    def verify(self, secret: str) -> None:
        """Raises when the signature is not this secret's, or too old."""
        assert Webhook(secret).verify(self.body, self.headers) == json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait_for: asyncio.Event | None = None
    drips: bool = False


class Receiver:
    """Answers with the replies in their order, then with 204."""

    def __init__(self, *replies: Reply | int) -> None:
        self.replies: Iterator[Reply] = (r if isinstance(r, Reply) else Reply(r) for r in replies)
        self.received: list[Received] = []
        self.under_way = 0
        self.most_under_way = 0
        self.on_first_request: Callable[[], None] = lambda: None
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            body = b""
            while (message := await receive())["type"] == "http.request":
                body += message["body"]
                if not message.get("more_body"):
                    break
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.received.append(Received(scope["path"], headers, body, tuple(scope["client"])))
            if len(self.received) == 1:
                self.on_first_request()
            reply = next(self.replies, Reply())
            if reply.wait_for:
                await reply.wait_for.wait()
            sent = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
            await send({"type": "http.response.start", "status": reply.status, "headers": sent})
            while reply.drips:
                await send({"type": "http.response.body", "body": b".", "more_body": True})
                await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": reply.body})
        finally:
            self.under_way -= 1

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.received]

    @property
    def kinds(self) -> list[str]:
        return [message.kind for message in self.received]


@asynccontextmanager
async def receiving(*replies: Reply | int, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Receiver]:
    receiver = Receiver(*replies)
    config = uvicorn.Config(receiver, host=host, port=0, log_level="critical", lifespan="off", **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    port = server.servers[0].sockets[0].getsockname()[1]
    scheme = "https" if config.ssl_certfile else "http"
    receiver.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/hook"
    try:
        yield receiver
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
