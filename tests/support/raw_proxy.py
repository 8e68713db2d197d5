"""A proxy of our own for HTTP and SOCKS5, and one that says whatever a test has it say.

What real ones do is tried with real ones (`make proxies`); here is what is asked of them to the
byte, and what they do not do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from .certificates import NAMES, authority

HOST = "127.0.0.1"
NAME = "server.example"
"""Where servers are in these tests: a name that nobody but a proxy can resolve."""

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
CONNECTED = b"\x05\x00\x00\x01" + bytes(6)
_ADDRESS_LENGTHS = {1: 4, 4: 16}

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_context(*names: str) -> ssl.SSLContext:
    """What a server has that proves to be one of `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names).configure_cert(context)
    return context


@asynccontextmanager
async def listening(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve each connection; gives the port. All of them have ended when the block has."""
    running = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(task := asyncio.current_task())
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await serve(reader, writer)
                writer.close()
                await writer.wait_closed()
        except asyncio.CancelledError:
            pass  # asyncio.streams would take it for an error
        finally:
            writer.transport.abort()
            running.discard(task)

    server = await asyncio.start_server(guarded, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass
class RawProxy:
    """Lets everybody through to `upstream`, whatever they call it; `asked` is what they sent."""

    upstream: int
    """Its port."""
    by_password: bool = False
    """Whether a SOCKS5 client has to say who it is; it may say anything."""
    tunnels_to: int = 0
    """Where tunnels lead, if somewhere else."""
    scheme: str = "http"
    port: int = 0
    asked: list[bytes] = field(default_factory=list)

    def url(self, scheme: str | None = None, credentials: str = "") -> str:
        return f"{scheme or self.scheme}://{credentials}{HOST}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == b"\x05":
            await self._agree(reader, writer)
            writer.write(CONNECTED)
        else:
            head = first + await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head)
            if head.startswith(b"CONNECT "):
                writer.write(ESTABLISHED)
            else:
                await self._relay(reader, writer, self.upstream, head)
                return
        await self._relay(reader, writer, self.tunnels_to or self.upstream)

    async def _agree(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = await reader.readexactly(1)
        self.asked.append(b"\x05" + count + await reader.readexactly(count[0]))
        writer.write(b"\x05\x02" if self.by_password else b"\x05\x00")
        if self.by_password:
            message = await reader.readexactly(2)
            message += await reader.readexactly(message[-1] + 1)
            message += await reader.readexactly(message[-1])
            self.asked.append(message)
            writer.write(b"\x01\x00")
        message = await reader.readexactly(5)
        message += await reader.readexactly(_ADDRESS_LENGTHS.get(message[3], message[4] + 1) + 1)
        self.asked.append(message)

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        ahead: bytes = b"",
    ) -> None:
        """Pass bytes on both ways until one side has ended, the other way then being over too."""
        up_reader, up_writer = await asyncio.open_connection(HOST, port)
        up_writer.write(ahead)
        ways = [
            asyncio.create_task(_pass_on(reader, up_writer)),
            asyncio.create_task(_pass_on(up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up_writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def raw_proxy(
    upstream: int, *, tls: bool = False, by_password: bool = False
) -> AsyncIterator[RawProxy]:
    """A proxy before a server on this machine; over TLS it is one for https://."""
    proxy = RawProxy(upstream, by_password, scheme="https" if tls else "http")
    context = server_context(*NAMES) if tls else None
    async with listening(proxy.serve, context) as proxy.port:
        yield proxy


@asynccontextmanager
async def saying(answer: bytes, then: str = "stay") -> AsyncIterator[int]:
    """What answers the first bytes with `answer`, then stays until the client leaves.

    It may also "end" or "reset" the connection; gives its port.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(answer)
        await writer.drain()
        if then == "reset":
            writer.transport.abort()
        elif then == "stay":
            while await reader.read(65_536):
                pass

    async with listening(serve) as port:
        yield port
