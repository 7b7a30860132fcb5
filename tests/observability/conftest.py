"""What the tests of observation share: a stream to read back, and a clock that is held still."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from typing import Any

import pytest


class LogStream(StringIO):
    """Takes log lines, and reads them back."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.time + seconds, woken))
        await woken.wait()

    def timeout_at(self, when: float | None) -> asyncio.Timeout:
        return asyncio.timeout(None)

    async def advance(self, seconds: float) -> None:
        """Move the clock and let the sleepers that are due run."""
        await self.settle()
        self.time += seconds
        due = [woken for when, woken in self._sleepers if when <= self.time]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self.time]
        for woken in due:
            woken.set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def stream() -> LogStream:
    return LogStream()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
