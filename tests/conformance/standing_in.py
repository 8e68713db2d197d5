"""What a client under test talks to: servers of other people's, and one that sends what it is told.

`serve_web` is aiohttp's server, which tells what it was sent; `serve_bytes` keeps the bytes of each
connection, and answers with bytes.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiDict

BODY = b"0123456789" * 1_000
"""What `/body`, `/gzip`, `/deflate` and `/chunked` answer."""


async def inspect(request: web.Request) -> web.Response:
    """Tells what it was sent."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "version": f"{request.version.major}.{request.version.minor}",
            "headers": list(request.headers.items()),
            "cookies": dict(request.cookies),
            "content": base64.b64encode(body).decode(),
            "query": list(request.query.items()),
            "peer": peer[1] if peer else None,
        }
    )


async def read_form(request: web.Request) -> web.Response:
    """Tells the fields and the files of a form."""
    found = []
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            content = value.file.read().decode()
            found.append([name, value.filename, content, value.content_type])
        else:
            found.append([name, value])
    return web.json_response(found)


async def redirect(request: web.Request) -> web.Response:
    """Leads to `to`, with the status that the path says."""
    status = int(request.match_info["status"])
    headers: MultiDict[str] = MultiDict(Location=request.query["to"])
    if "cookie" in request.query:
        headers.add("Set-Cookie", request.query["cookie"])
    return web.Response(status=status, headers=headers)


async def lead_on(request: web.Request) -> web.Response:
    """Leads on `left` times, and then to `/inspect`."""
    left = int(request.query["left"])
    place = f"/on?left={left - 1}" if left > 1 else "/inspect"
    return web.Response(status=302, headers={"Location": place})


async def set_cookies(request: web.Request) -> web.Response:
    """Sets the cookies that the query names."""
    headers: MultiDict[str] = MultiDict()
    for name, value in request.query.items():
        headers.add("Set-Cookie", f"{name}={value}; Path=/")
    return web.Response(headers=headers)


async def answer(request: web.Request) -> web.Response:
    """Answers with the status that the path says."""
    headers = {"X-Answer": "1"}
    return web.Response(status=int(request.match_info["status"]), headers=headers, text="answer")


def coded(coding: str, body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answers with `body`, which is in a content coding."""

    async def handle(request: web.Request) -> web.Response:
        headers = {"Content-Encoding": coding} if coding else {}
        return web.Response(body=body, headers=headers)

    return handle


async def chunked(request: web.Request) -> web.StreamResponse:
    """Answers with the body in chunks of odd sizes."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for start in range(0, len(BODY), 700):
        await response.write(BODY[start : start + 700])
    await response.write_eof()
    return response


async def slow(request: web.Request) -> web.Response:
    """Answers after the seconds that the query says."""
    await asyncio.sleep(float(request.query["seconds"]))
    return web.Response(text="late")


async def drip(request: web.Request) -> web.StreamResponse:
    """Sends ten bytes, one in the seconds that the query says."""
    response = web.StreamResponse(headers={"Content-Length": "10"})
    await response.prepare(request)
    for _ in range(10):
        await asyncio.sleep(float(request.query["seconds"]))
        await response.write(b"x")
    return response


@dataclass
class Web:
    """An aiohttp server that runs, and where."""

    base: str
    port: int

    def url(self, path: str) -> str:
        """The URL of a path."""
        return f"{self.base}{path}"

    def named(self, path: str) -> str:
        """The same by the server's name, where a cookie of an address is another matter."""
        return self.url(path).replace("127.0.0.1", "localhost")


@asynccontextmanager
async def serve_web(tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """Serve all of the above on a free port."""
    application = web.Application(client_max_size=2**26)
    for path, handle in (
        ("/form", read_form),
        ("/redirect/{status}", redirect),
        ("/on", lead_on),
        ("/cookies", set_cookies),
        ("/answer/{status}", answer),
        ("/body", coded("", BODY)),
        ("/gzip", coded("gzip", gzip.compress(BODY))),
        ("/deflate", coded("deflate", zlib.compress(BODY))),
        ("/empty", coded("", b"")),
        ("/chunked", chunked),
        ("/slow", slow),
        ("/drip", drip),
        ("/{anything:.*}", inspect),
    ):
        application.router.add_route("*", path, handle)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port: int = runner.addresses[0][1]
        scheme = "http" if tls is None else "https"
        # A name, since for a certificate of an address not all clients ask.
        yield Web(f"{scheme}://localhost:{port}" if tls else f"{scheme}://127.0.0.1:{port}", port)
    finally:
        await runner.cleanup()


Answer = Callable[["Connection"], Awaitable[None]]


@dataclass
class Connection:
    """One connection to `serve_bytes`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        """The head of a request."""
        return await self.reader.readuntil(b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def ends(self) -> None:
        """Wait until the client leaves."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass


@dataclass
class Bytes:
    """A server of bytes that runs: where, and what became of its connections."""

    port: int
    left: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: int = 0

    @property
    def base(self) -> str:
        """Its address as an HTTP server's."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serve_bytes(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[Bytes]:
    """Have `answer` called for each connection; `left` is set once it has returned."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.accepted += 1
        try:
            await answer(Connection(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            # Cancelled by us, below: asyncio's streams would complain of it.
            pass
        finally:
            tasks.discard(task)
            writer.close()
            served.left.set()

    server = await asyncio.start_server(serve, host, 0)
    served = Bytes(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answers(*parts: bytes, close: bool = True) -> Answer:
    """Answers each request with these bytes, then closes or waits."""

    async def answer(connection: Connection) -> None:
        await connection.head()
        for part in parts:
            connection.send(part)
        if not close:
            await connection.ends()

    return answer


def accepted(head: bytes) -> bytes:
    """The 101 that a handshake asks for."""
    key = next(
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def found_in(content: object) -> dict[str, Any]:
    """What `/inspect` has told; its content as bytes."""
    assert isinstance(content, bytes)
    found: dict[str, Any] = json.loads(content)
    found["content"] = base64.b64decode(found["content"])
    return found


def values(found: dict[str, Any], name: str) -> list[str]:
    """The values of a header, in their order."""
    return [value for key, value in found["headers"] if key.lower() == name.lower()]
