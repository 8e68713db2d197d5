"""A server that answers a client with whatever bytes a test has for it, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

from .certificates import NAMES
from .raw_proxy import server_context

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Asked:
    """A request as it came: its head to the byte, its headers in lower case, and its body."""

    head: bytes
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The number of the connection that it came by, from 0 on."""


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer, and whether the connection ends behind them."""

    data: bytes
    end: bool = False


Answers = Answer | Callable[[Asked], Answer]


def good(body: bytes = b"good") -> Answer:
    """An answer that nothing is wrong with."""
    return Answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def redirect(location: str, status: int = 302) -> Answer:
    line = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return Answer(line.encode())


@dataclass
class Answering:
    """Takes the answers in turn, and says `good` once there are none left."""

    answers: list[Answers]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    scheme: str = "http"

    def url(self, path: str = "/", *, host: str = HOST) -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        try:
            while (asked := await _read(reader, number)) is not None:
                self.asked.append(asked)
                answer = self.answers.pop(0) if self.answers else good()
                if not isinstance(answer, Answer):
                    answer = answer(asked)
                writer.write(answer.data)
                await writer.drain()
                if answer.end:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, number: int) -> Asked | None:
    """The next request; None if the client has left."""
    server, head = h11.Connection(h11.SERVER), b""
    request, body = None, b""
    while True:
        event = server.next_event()
        if event is h11.NEED_DATA:
            data = await (reader.read(1) if request is None else reader.read(65_536))
            head += data if request is None else b""
            server.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.ConnectionClosed):
            return None
        elif request is not None:
            headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
            return Asked(head, request.target.decode(), headers, body, number)


@asynccontextmanager
async def answering(*answers: Answers, tls: bool = False) -> AsyncIterator[Answering]:
    here = Answering([*answers], scheme="https" if tls else "http")
    context = server_context(*NAMES) if tls else None
    server = await asyncio.start_server(here.serve, HOST, 0, ssl=context)
    here.port = server.sockets[0].getsockname()[1]
    async with server:
        yield here
