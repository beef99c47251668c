"""The ASGI app that answers a scrape."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from .collector import PowertoolsCollector

type Message = MutableMapping[str, Any]
type App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def metrics_app(collector: PowertoolsCollector) -> App:
    """An ASGI app with our metrics, to be mounted at ``/metrics`` of a web application.

        app.mount("/metrics", metrics_app(PowertoolsCollector(powertools)))

    It answers every GET, whatever the path, and asks for no password: mount it where only Prometheus can reach it.
    """
    registry = CollectorRegistry()
    registry.register(collector)

    async def answer(
        scope: Message, _: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"the metrics app answers http, not {scope['type']}")
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(send, 405, [(b"allow", b"GET, HEAD")], b"only GET\n")
            return
        await collector.refresh()
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        encode, content_type = choose_encoder(accept)
        headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
        await _respond(send, 200, headers, encode(registry) if scope["method"] == "GET" else b"")

    return answer


async def _respond(
    send: Callable[[Message], Awaitable[None]], status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
