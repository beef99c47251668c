"""A TCP proxy before PostgreSQL that can cut, hold back or swallow: for networks that fail.

It forwards bytes, and knows of the protocol only how a finished reply ends.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import parse_qs, urlsplit

REPLY_ENDS = b"Z\x00\x00\x00\x05"
"""ReadyForQuery; one more byte, the transaction's status, follows."""


class TcpProxy:
    """Listens on a loopback port; ``dsn`` leads through it to the server of a DSN with a socket in ``?host=``."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        options = parse_qs(parts.query)
        self._socket = f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}"
        self._path = parts.path
        self._ends: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._awaited: tuple[bytes, ...] = ()
        self._lost = "reply"
        self._losses = 0
        self.swallowed = 0
        self.dsn = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, dsn: str) -> AsyncIterator["TcpProxy"]:
        proxy = cls(dsn)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        proxy.dsn = f"postgresql://postgres@{host}:{port}{proxy._path}"
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()

    def cut(self) -> None:
        """Close every connection, both ways."""
        for end in self._ends:
            end.transport.abort()

    def hold(self) -> None:
        """Forward nothing and close nothing until released: a network that has gone silent."""
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    def swallow(self, *texts: bytes, lost: Literal["request", "reply"] = "reply", times: int = 1) -> None:
        """Where a client sends these texts in this order, drop the last request, or its reply, and cut.

        Args:
            times: So many connections are lost so.
        """
        self._awaited, self._lost, self._losses = texts, lost, times

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        ends = {writer, server_writer}
        self._ends |= ends
        said: list[bytes] = []
        asking = asyncio.create_task(self._ask(reader, server_writer, said))
        answering = asyncio.create_task(self._answer(server_reader, writer, said))
        await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
        self._ends -= ends
        for end in ends:
            end.transport.abort()
        await asyncio.gather(asking, answering, return_exceptions=True)

    async def _ask(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, said: list[bytes]) -> None:
        while data := await client.read(65536):
            await self._flowing.wait()
            while len(said) < len(self._awaited) and self._awaited[len(said)] in data:
                said.append(self._awaited[len(said)])
            if self._is_to_lose("request", said):
                return self._lose()
            server.write(data)
            await server.drain()

    async def _answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter, said: list[bytes]) -> None:
        while data := await server.read(65536):
            await self._flowing.wait()
            if not self._is_to_lose("reply", said):
                client.write(data)
                await client.drain()
            elif data[-6:-1] == REPLY_ENDS:
                return self._lose()

    def _is_to_lose(self, what: str, said: list[bytes]) -> bool:
        return self._losses > 0 and self._lost == what and tuple(said) == self._awaited

    def _lose(self) -> None:
        self._losses -= 1
        self.swallowed += 1
