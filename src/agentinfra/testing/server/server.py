"""An OpenAI-compatible server in the test's own process, over real HTTP."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from agentinfra._mechanics.closing import finish
from agentinfra.errors import ConfigurationError, NotStartedError
from agentinfra.testing.answers import default_answer
from agentinfra.testing.faults.kinds import Fault
from agentinfra.testing.faults.queue import FaultQueue, When
from agentinfra.testing.ledger import Ledger
from agentinfra.testing.replies import Matcher, ReplyLike
from agentinfra.testing.scripts.playbook import Playbook, at_home, default_of
from agentinfra.testing.scripts.verdict import Verdict
from agentinfra.testing.server.dispatch import Dispatch
from agentinfra.testing.server.endpoints import Endpoints
from agentinfra.testing.server.listening import Listener
from agentinfra.testing.server.ratelimit import Limiter, RateLimits
from agentinfra.testing.server.thread import LoopThread
from agentinfra.testing.zoo import animal

__all__ = ["OpenAIServer"]

_LEDGER_LIMIT = 10_000
_CLOSES_WITHIN = 5.0
_OPENS_WITHIN = 60.0


class OpenAIServer:
    """Serves chat completions, responses, embeddings, models, files and batches as OpenAI does.

    Enter it with ``async with`` or ``with``; whoever enters it owns it. It runs on a thread and an
    event loop of its own: sync and async clients, of any loop and thread, get their answers, and
    everything here may be called from any of them. Constructing opens nothing. Closing cancels
    the requests in flight and takes a few milliseconds; a server that is started again keeps its
    port, its ledger and its script, so an outage can be played.

    In a test it is strict: once something is scripted, a request that nothing answers is refused
    with a status that no client retries; leaving the ``with`` block then raises a ``ScriptError``
    with the timeline, as it does for replies and faults that no request took, and raises what a
    scripted function raised. Where the block raised itself, its error comes out, with notes.

    Unscripted, requests get a deterministic default. It is no model.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        api_key: The only key let in; None lets everybody in, without a key too.
        models: The only models there are; None accepts every name.
        limits: Requests and tokens a minute; None has no limits and sends no such headers.
        clock: The time in seconds, for the limits and the ledger.
        sleep: Waits for the delays of replies and faults, on the loop that entered the server.
        ledger_limit: How many requests the ledger keeps; the totals count all. None keeps all.
        like: Whose manners it has: a name of `agentinfra.testing.zoo`.
        default: What answers the requests that neither script nor rule does; None: nothing where
            something is scripted, and an echo where nothing is.
        strict: True fails as said above, False answers unscripted requests by default and warns
            where it would raise; None is True in a test that pytest runs, and False in a program
            that is no test and has nothing to fail.

    Example:
        with OpenAIServer() as server:
            server.script("Hello!")
            client = OpenAI(base_url=server.base_url, api_key="any")
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        models: Collection[str] | None = None,
        limits: RateLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        ledger_limit: int | None = _LEDGER_LIMIT,
        like: str = "openai",
        default: ReplyLike | None = None,
        strict: bool | None = None,
    ) -> None:
        self._port = port
        self._host = host
        self._thread: LoopThread | None = None
        self._listener: Listener | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._sleep = sleep
        self._strict = strict
        self._playbook = Playbook(default_answer, default_of(default))
        self._faults = FaultQueue()
        self.ledger = Ledger(limit=ledger_limit)
        self._verdict = Verdict(self._playbook, self._faults, self.ledger)
        kind = animal(like)
        self._endpoints = Endpoints(
            ledger=self.ledger,
            dispatch=Dispatch(self._playbook, self._verdict, kind, models=models, clock=clock),
            faults=self._faults,
            limiter=Limiter(limits, clock) if limits is not None else None,
            api_key=api_key,
            clock=clock,
            sleep=self._wait,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
        self._verdict.judge(error)

    def __enter__(self) -> Self:
        opening = self._open(_running_loop())
        if opening is not None:
            self._opened(opening)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.submit(self._shut()).result(_CLOSES_WITHIN)
            self._stop()
        self._verdict.judge(error)

    def __repr__(self) -> str:
        state = self.root_url if self._thread is not None else "not started"
        return f"<OpenAIServer {state}>"

    @property
    def base_url(self) -> str:
        """What clients take as base URL: ``http://127.0.0.1:PORT/v1``."""
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The server's root, which Azure clients take as endpoint.

        Raises:
            NotStartedError: The port is not known before the server has started.
        """
        if not self._port:
            raise NotStartedError("the server has no address yet; enter it or await start()")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def pending_replies(self) -> int:
        """Scripted replies that no request has taken yet."""
        return self._playbook.pending

    async def start(self) -> None:
        """Listen; does nothing on a server that listens already.

        Cancelled, it leaves the server as it was: closed, without its thread.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        opening = self._open(asyncio.get_running_loop())
        if opening is not None:
            here = asyncio.wrap_future(opening)
            try:
                await asyncio.wait([here])
            except asyncio.CancelledError:
                # Nobody enters what was cancelled, so nobody would close it either.
                await self.aclose()
                raise
            here.exception()  # raised below; one that nobody has looked at is logged when it goes
            self._opened(opening)

    async def aclose(self) -> None:
        """Stop listening, cancel what is in flight, close every connection.

        It does not look at the script: leaving the block does, or `verify`.
        """
        if self._thread is None:
            return
        shut = asyncio.wrap_future(self._thread.submit(self._shut()))
        # Awaited, not blocked on: a reply that waits on this very loop is cancelled by it.
        try:
            await finish(_until(shut), grace=_CLOSES_WITHIN, name="agentinfra.testing.close")
        finally:
            self._stop()

    def verify(self) -> None:
        """Raise what leaving the block would.

        Raises:
            ScriptError: A request was not scripted, or a reply or a fault was left over.
            BaseException: What a scripted function raised.
        """
        self._verdict.judge(None)

    def script(self, *replies: ReplyLike, to: str | None = None) -> None:
        """Queue answers, one for each request to come.

        Args:
            replies: Texts, `Reply` and `RawReply` values, or functions (async ones
                too) that are given the request's body and return one. A function runs on the
                server's thread; what it awaits is awaited on the loop that scripted it.
            to: The endpoint: ``chat``, ``responses``, ``embeddings``, ``models``, ``files`` or
                ``batches``; None: chat and responses.

        Raises:
            ConfigurationError: A reply cannot be sent; the message names the line that gave it.
        """
        self._playbook.script(replies, to)

    def on(
        self,
        matcher: Matcher,
        reply: ReplyLike,
        *,
        to: str | None = None,
        optional: bool = False,
    ) -> None:
        """Answer matching requests when no script is left; the first rule wins.

        Args:
            matcher: A part of the last user message, whatever its case, or a function that is
                given the request's body.
            reply: As for `script`; it answers any number of requests.
            to: As for `script`.
            optional: Whether it may stay unused.
        """
        self._playbook.on(matcher, reply, to, optional=optional)

    def fail(
        self,
        fault: Fault | Callable[[], Fault],
        *,
        times: int = 1,
        when: When = None,
        probability: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Let requests meet a fault; those that get no real answer take none from the script.

        Args:
            fault: One of `agentinfra.testing.faults`; a function without arguments is called.
            times: How many requests it meets.
            when: Which requests: a part of the path, or a function that is given the record.
            probability: How likely it meets a request that fits. What a request asks, and how
                often it was asked before, decides, and not the order in which requests come.
            seed: Of the dice.
        """
        self._faults.arm(fault, times=times, when=when, probability=probability, seed=seed)

    def fail_always(
        self,
        fault: Fault | Callable[[], Fault],
        *,
        when: When = None,
        probability: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Let requests meet a fault until `recover`; the arguments are those of fail."""
        self._faults.arm(fault, times=None, when=when, probability=probability, seed=seed)

    def recover(self) -> None:
        """Disarm every fault; requests that hang go on hanging."""
        self._faults.clear()

    def clear(self) -> None:
        """Forget the ledger's records, the script, the rules, the faults and what went wrong."""
        self.ledger.clear()
        self._playbook.clear()
        self._faults.clear()
        self._verdict.clear()

    async def wait_for_requests(self, count: int, *, timeout: float | None = 5.0) -> None:
        """Wait until so many requests have come, answered or not.

        Raises:
            TimeoutError: They have not come within ``timeout`` seconds (None: waits for ever).
        """
        try:
            async with asyncio.timeout(timeout):
                await self.ledger.wait_for(arrived=count)
        except TimeoutError:
            message = f"{self.ledger.count()} of {count} requests came within {timeout} s"
            raise TimeoutError(message) from None

    async def wait_until_idle(self, *, timeout: float | None = 5.0) -> None:
        """Wait until no request is in flight.

        Raises:
            TimeoutError: Some still are after ``timeout`` seconds (None: waits for ever).
        """
        try:
            async with asyncio.timeout(timeout):
                await self.ledger.wait_for(idle=True)
        except TimeoutError:
            message = f"{self.ledger.in_flight} requests are in flight after {timeout} s"
            raise TimeoutError(message) from None

    def _open(self, home: asyncio.AbstractEventLoop | None) -> Future[int] | None:
        """Begin to listen; None where the server does already."""
        if self._thread is not None:
            return None
        strict = _in_a_test() if self._strict is None else self._strict
        self._playbook.strict = self._verdict.strict = strict
        self._thread = LoopThread("agentinfra-testing-server")
        self._thread.start()
        self._listener = Listener(self._endpoints)
        self._home = home
        return self._thread.submit(self._listener.open(self._host, self._port))

    def _opened(self, port: Future[int]) -> None:
        """End to listen: wait for the port, or take everything back."""
        try:
            self._port = port.result(_OPENS_WITHIN)
        except OSError as error:
            self._stop()
            raise ConfigurationError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); "
                "give another port, or 0 for a free one"
            ) from error
        except BaseException:
            self._stop()
            raise

    async def _shut(self) -> None:
        if self._listener is not None:
            await self._listener.close()

    def _stop(self) -> None:
        thread, self._thread, self._listener = self._thread, None, None
        if thread is not None:
            thread.stop()

    async def _wait(self, seconds: float) -> object:
        if self._sleep is asyncio.sleep:
            await asyncio.sleep(seconds)
            return None
        return await at_home(self._sleep(seconds), self._home)


async def _until(future: asyncio.Future[Any]) -> None:
    await future


def _in_a_test() -> bool:
    """Say whether pytest runs a test, or makes a fixture of one."""
    return "PYTEST_CURRENT_TEST" in os.environ


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
