"""What stands between a client and a server in the tests of the wire."""

import asyncio
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Passes connections on to a server, and counts them."""

    def __init__(self, server):
        self._target = urlsplit(server.root_url)
        self.idle = asyncio.Event()
        self.idle.set()
        self.address = ""
        self.opened = 0
        self.open = 0
        self.most = 0
        self.asked = []

    @property
    def base_url(self):
        return f"http://{self.address}/v1"

    @property
    def tls_url(self):
        return f"https://{self.address}/v1"

    async def pass_on(self, reader, writer):
        self.opened += 1
        self.open += 1
        self.idle.clear()
        self.most = max(self.most, self.open)
        try:
            await self._both_ways(reader, writer)
        finally:
            self.open -= 1
            writer.close()
            if not self.open:
                self.idle.set()

    async def connect(self, reader, writer):
        """Answer CONNECT as an HTTP proxy does, then pass on."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode())
        self._target = urlsplit(f"//{head.split()[1].decode()}")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self.pass_on(reader, writer)

    async def refuse(self, reader, writer):
        """Answer as an HTTP proxy that wants another password."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def _both_ways(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection(
            self._target.hostname, self._target.port
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        finally:
            far_writer.close()


async def _copy(reader, writer):
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(server, *, tls=None, proxy=False, refusing=False):
    """Stand in front of a server.

    Args:
        server: Where connections are passed on to.
        tls: The context that the client's side is spoken with; None speaks plainly.
        proxy: Whether to be an HTTP proxy that is asked for its target.
        refusing: Whether to be an HTTP proxy that lets nobody through.
    """
    standing = Relay(server)
    handler = standing.connect if proxy else standing.pass_on
    if refusing:
        handler = standing.refuse
    listener = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    standing.address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield standing
    finally:
        listener.close()
        await standing.idle.wait()
