"""Endpoints' limits shared by the processes that send to them.

Each process that sends to an endpoint which shows limits says so on a board, with how much it wants
to send, and takes that part of what the server says remains. No call waits for the board: a beat in
the background asks it, and without an answer a process keeps the share it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.identifiers import random_hex
from agentinfra.errors import AgentInfraError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra._mechanics.pacer import Pacer
    from agentinfra.protocols import NoticeBoard

__all__ = ["SharedPace"]

log = get_logger("agentinfra.llm")

BEAT = 0.5
"""Seconds between two looks at the board."""

SETTLE = 0.25
"""Seconds between the first two: processes that start together see one another before they send
all they have."""

LIFETIME = 3.0
"""Seconds after which a process that says nothing is no longer counted."""

_PATIENCE = 2.0
"""Seconds the board may take; it is asked again at the next beat."""

_IDLE = 20
"""Beats without demand after which nothing is said of an endpoint."""


class _Note(msgspec.Struct):
    """What a process says of an endpoint."""

    demand: float
    blocked: float = 0.0


class _Seen:
    """What is known of one topic."""

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        self.idle = 0
        self.demand = 0.0
        self.said = 0.0
        self.looks = 0


class SharedPace:
    """Keeps this process's pace to its share.

    Args:
        board: Where processes meet.
        clock: Where time comes from.
    """

    def __init__(self, board: NoticeBoard, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._member = random_hex(12)
        self._seen: dict[str, _Seen] = {}
        self._waker = asyncio.Event()
        self._beats: asyncio.Task[None] | None = None
        self._failing = ""

    @property
    def failing(self) -> str:
        """Why limits are not shared at this moment; empty where they are."""
        return self._failing

    def follow(self, topic: str, pacer: Pacer) -> None:
        """Share a pacer's limits from now on; called by it when it learns of one."""
        known = self._seen.get(topic)
        if known is None:
            self._seen[topic] = _Seen(pacer)
            self._waker.set()
        elif known.pacer is not pacer:
            pacer.share(1.0)  # the same server under another name: each is on its own
        if self._beats is None or self._beats.done():
            self._beats = asyncio.create_task(self._beat(), name="agentinfra-shared-pace")

    async def aclose(self) -> None:
        """Stop, and say that this process sends no more."""
        if self._beats is None:
            return
        await cancel_and_wait(self._beats)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._board.leave(self._member)
        except (AgentInfraError, TimeoutError):
            pass  # what it said is forgotten by itself

    async def _beat(self) -> None:
        while True:
            self._waker.clear()
            await self._look()
            new = any(seen.looks < 2 for seen in self._seen.values())
            try:
                async with self._clock.timeout_at(self._clock.now() + (SETTLE if new else BEAT)):
                    await self._waker.wait()  # another endpoint has shown a limit
            except TimeoutError:
                continue

    async def _look(self) -> None:
        notes = {}
        for topic, seen in self._seen.items():
            wanted = seen.pacer.demand()
            seen.idle = 0 if wanted else seen.idle + 1
            seen.said = seen.demand
            # Smoothed, for what waits at one moment says little; up at once, and down to nothing.
            seen.demand = max(wanted, (seen.demand + wanted) / 2) if wanted else 0.0
            if seen.idle < _IDLE:
                note = _Note(demand=round(seen.demand, 2), blocked=round(seen.pacer.blocked, 2))
                notes[topic] = msgspec.json.encode(note).decode()
        if not notes:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                others = await self._board.exchange(notes, member=self._member, lifetime=LIFETIME)
        except (AgentInfraError, TimeoutError) as error:
            self._lost(error)
            return
        if self._failing:
            self._failing = ""
            log.info("llm.pace_shared")
        self._take(notes, others)

    def _lost(self, error: Exception) -> None:
        """Go on with the share there is; who never had one takes everything for its own."""
        if not self._failing:
            self._failing = str(error) or type(error).__name__
            log.warning("llm.pace_not_shared", error=self._failing)
        for seen in self._seen.values():
            if not seen.looks:
                seen.looks = 2
                seen.pacer.share(1.0)

    def _take(self, notes: Iterable[str], others: Iterable[tuple[str, str]]) -> None:
        theirs: dict[str, list[_Note]] = {}
        for topic, text in others:
            try:
                theirs.setdefault(topic, []).append(msgspec.json.decode(text, type=_Note))
            except msgspec.MsgspecError:
                continue  # of another version of ours
        for topic in notes:
            seen = self._seen[topic]
            seen.looks += 1
            peers = theirs.get(topic, [])
            if seen.looks >= 2:
                # As old as what the others say is on the average: with the newest of one's own,
                # all who have less to do at every look would take less than there is.
                mine = max((seen.said + seen.demand) / 2, 1.0)
                total = mine + sum(max(peer.demand, 0.0) for peer in peers)
                seen.pacer.share(mine / total)
            if blocked := max((peer.blocked for peer in peers), default=0.0):
                seen.pacer.pause(min(blocked, LIFETIME))
