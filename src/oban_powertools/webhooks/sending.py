"""Send one signed HTTP request to a checked address, once, within its time limit.

The only file that needs the extra ``webhooks``. The rules that must never break: redirects are not followed, and
nothing that the receiver writes is stored.
"""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, Self

from ..errors import ConfigurationError, WebhooksNotInstalledError
from .addresses import RefusedAddressError, resolve_host
from .formats import Format, encode
from .records import Answer
from .schedule import parse_retry_after

try:
    import httpx
except ImportError:
    raise WebhooksNotInstalledError from None

CONNECT_WITHIN: Final = 5.0
"""Seconds, for one address."""

ANSWER_WITHIN: Final = 10.0
"""Seconds, for the whole request."""

_MOST_READ: Final = 64 * 1024
"""Bytes of an answer that are read."""

_READ_WITHIN: Final = 1.0
"""Seconds, for what follows the status."""

_TIMEOUT: Final = httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN)

_AGENT: Final = f"oban-powertools/{version('oban-powertools')}"


class Sender:
    """Sends messages one after the other, on one connection while the URL stays the same."""

    def __init__(self) -> None:
        # The environment's certificates count, its proxies do not: they would connect elsewhere.
        self._ssl = httpx.create_ssl_context(trust_env=True)
        # Without httpx's client, which logs every URL, follows proxies and keeps cookies.
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._url = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport:
            await self._transport.aclose()

    async def send(
        self,
        url: str,
        message: Mapping[str, Any],
        secrets: Sequence[str],
        *,
        allow_private: bool,
        form: Format = Format.CLOUDEVENTS,
    ) -> Answer:
        """Post a message; the answer tells whatever went wrong."""
        try:
            body, headers = encode(form, message, secrets, int(time.time()))
            headers["user-agent"] = _AGENT
            async with asyncio.timeout(ANSWER_WITHIN):
                response = await self._post(httpx.URL(url), body, headers, allow_private)
            return await _read(response)
        except TimeoutError:
            return Answer(error=f"no answer within {ANSWER_WITHIN:g} s")
        except RefusedAddressError as error:
            return Answer(error=f"refused to connect to {error}; allow_private (--allow-private) permits it")
        except ConfigurationError as error:
            return Answer(error=str(error))
        except socket.gaierror:
            return Answer(error="the host's name has no address")
        except Exception as error:  # noqa: BLE001 - what a receiver can make of HTTP and TLS has no end
            return Answer(error=_describe(error))

    async def _post(
        self, url: httpx.URL, body: bytes, headers: Mapping[str, str], allow_private: bool
    ) -> httpx.Response:
        host = url.raw_host.decode()
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        transport = await self._transport_for(url)
        addresses = await resolve_host(host, port, allow_private=allow_private)
        for remaining, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            request = httpx.Request(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers={"host": url.netloc.decode(), **headers},
                extensions={"sni_hostname": host, "timeout": _TIMEOUT.as_dict()},
            )
            try:
                return await transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if not remaining:
                    raise
        raise socket.gaierror

    async def _transport_for(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        # Connections are kept by address, and another host may have the same one.
        if self._transport is None or self._url != str(url):
            if self._transport:
                await self._transport.aclose()
            limits = httpx.Limits(max_connections=1)
            self._transport = httpx.AsyncHTTPTransport(verify=self._ssl, trust_env=False, limits=limits)
            self._url = str(url)
        return self._transport


async def _read(response: httpx.Response) -> Answer:
    """Judge a response by its status, whatever happens to its body."""
    with suppress(Exception):
        try:
            async with asyncio.timeout(_READ_WITHIN):
                await _drain(response)
        finally:
            await response.aclose()
    status = response.status_code
    if response.is_success:
        return Answer(status=status)
    if response.is_redirect:
        return Answer(status=status, error=f"HTTP {status}: redirects are not followed, update the URL")
    busy = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    retry_after = parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC)) if busy else None
    return Answer(status=status, error=f"HTTP {status}", retry_after=retry_after)


async def _drain(response: httpx.Response) -> None:
    """Read the body to its end, so that the connection can be used again; an endless one is closed."""
    read = 0
    async for part in response.aiter_raw():
        read += len(part)
        if read > _MOST_READ:
            return


def _describe(error: Exception) -> str:
    """The error's class, and its text if the network or TLS wrote it; others may quote the receiver or the URL."""
    is_quote = isinstance(error, httpx.ProtocolError) or not isinstance(error, httpx.TransportError | OSError)
    lines = [] if is_quote else str(error).splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])[:300]
