"""An EventSource as browsers have it: the parser of the HTML standard, section 9.2.6, and its reconnects."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

import httpx
import orjson


@dataclass(frozen=True)
class Message:
    id: str
    event: str
    data: str

    @property
    def json(self) -> dict:
        return orjson.loads(self.data)


@dataclass
class Parser:
    """Feed it text, however it was cut."""

    last_id: str = ""
    retry: int | None = None
    comments: int = 0
    _rest: str = ""
    _event: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str = ""

    def feed(self, text: str) -> Iterator[Message]:
        *lines, self._rest = re.split(r"\r\n|\n|\r(?!\n|$)", self._rest + text)
        for line in lines:
            yield from self._dispatch() if line == "" else self._field(line)

    def _field(self, line: str) -> Iterator[Message]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isdigit():
                self.retry = int(value)
        yield from ()

    def _dispatch(self) -> Iterator[Message]:
        self.last_id = self._id
        event, data = self._event or "message", "\n".join(self._data)
        self._event, self._data = "", []
        if data:
            yield Message(self.last_id, event, data)


class RefusedError(Exception):
    """A browser gives up for good when the answer is no stream."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(answer.status_code, answer.text)
        self.status = answer.status_code


class EventSource:
    """Comes back with the id of the last message whenever the stream ends; at once, not after ``retry``.

    Args:
        headers: A browser's, such as cookies.
    """

    def __init__(self, url: str, **headers: str) -> None:
        self._url = url
        self._headers = headers
        self.parser = Parser()
        self.connects = 0
        self.connected = asyncio.Event()

    async def messages(self) -> AsyncGenerator[Message]:
        async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=60)) as client:
            while True:
                last = {"Last-Event-ID": self.parser.last_id} if self.parser.last_id else {}
                # What was received in part of a message is forgotten.
                self.parser = Parser(last_id=self.parser.last_id, _id=self.parser.last_id)
                try:
                    async with client.stream("GET", self._url, headers={**self._headers, **last}) as answer:
                        if answer.status_code != 200:
                            await answer.aread()
                            raise RefusedError(answer)
                        self.connects += 1
                        async for text in answer.aiter_text():
                            for message in self.parser.feed(text):
                                yield message
                            if self.parser.last_id:
                                self.connected.set()
                except httpx.TransportError:
                    await asyncio.sleep(0.05)  # a browser's pause, so that a server that is down is not flooded
