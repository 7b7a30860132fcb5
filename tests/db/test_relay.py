"""A network that stalls, cuts or delays in the middle of an answer: no hang, no wrong result."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from agentinfra.db.database import Database
from agentinfra.errors import ConnectionLostError, DatabaseError
from agentinfra.settings import DatabaseSettings

SQL = "SELECT n, repeat('x', 20) AS t FROM generate_series(1, 3) AS n"
TRUTH = tuple({"n": n, "t": "x" * 20} for n in (1, 2, 3))


class Relay:
    """Stands between a program and a server on a socket, and spoils what the server says.

    Args:
        socket: The server's.
    """

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.after: int | None = None
        self.how = "cut"
        self.passed = 0

    async def __aenter__(self) -> Relay:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.open: set[asyncio.StreamWriter] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_unix_connection(self.socket)
        self.open |= {writer, down}
        tasks = [asyncio.create_task(self._up(reader, down))]
        tasks.append(asyncio.create_task(self._down(up, writer)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for each in (writer, down):
            each.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.after is not None and self.passed + len(data) > self.after:
                rest = self.after - self.passed
                writer.write(data[:rest])
                self.after = None
                if self.how == "cut":
                    return
                if self.how == "delay":
                    await asyncio.sleep(0.002)
                    writer.write(data[rest:])
                    continue
                await asyncio.Event().wait()
            self.passed += len(data)
            writer.write(data)

    def spoil(self, how: str, after: int) -> None:
        """Cut, stall or delay after so many more bytes."""
        self.how, self.after, self.passed = how, after, 0


@pytest.mark.timeout(1_800)
@pytest.mark.usefixtures("embedded_only")
@pytest.mark.parametrize("how", ["cut", "stall", "delay"])
async def test_an_answer_that_is_spoilt_at_any_byte(places, how, thorough):
    """Each read gives the true rows or one of our errors, within its time, and the next is fine.

    An answer that only comes late is no error.
    """
    async with Relay(f"{places.server.data_dir}/.s.PGSQL.5432") as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/postgres?sslmode=disable"
        settings = DatabaseSettings(max_size=2, connect_timeout=1)
        async with Database(settings, url=url) as db:
            for _ in range(3):
                assert (await db.query(SQL, timeout=5)).rows == TRUTH
            relay.spoil("cut", 10_000)
            await db.query(SQL, timeout=5)
            length = relay.passed
            assert length > 100
            step = {"cut": 7, "stall": length // 3, "delay": 7}[how]
            step = 1 if thorough else step
            for after in range(1, length + 1, step):
                relay.spoil(how, after)
                async with asyncio.timeout(20):
                    try:
                        rows = (await db.query(SQL, timeout=0.02 if how == "stall" else 5)).rows
                    except DatabaseError:
                        assert how != "delay"
                        rows = TRUTH
                assert rows == TRUTH, after
                relay.after = None
                while db.state != "ready":  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert (await db.query(SQL, timeout=5)).rows == TRUTH


@pytest.mark.usefixtures("embedded_only")
async def test_a_connection_that_stalls_while_it_is_made_costs_nobody_its_place(places):
    """Wherever it stalls, its time to connect ends it, and the next try makes another one."""
    async with Relay(f"{places.server.data_dir}/.s.PGSQL.5432") as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/postgres?sslmode=disable"
        settings = DatabaseSettings(min_size=0, max_size=1, connect_timeout=1, acquire_timeout=300)
        async with Database(settings, url=url) as db:
            relay.spoil("cut", 1_000_000)
            async with db.connection():
                made = relay.passed  # with the types that are taught to it
        for after in (made // 4, made - 20):
            async with Database(settings, url=url) as db:
                relay.spoil("stall", after)
                async with asyncio.timeout(60):
                    with suppress(ConnectionLostError):
                        assert (await db.query(SQL, timeout=5)).rows == TRUTH
                    assert relay.after is None  # it did stall
                    while db.state != "ready":  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                    assert (await db.query(SQL, timeout=5)).rows == TRUTH
