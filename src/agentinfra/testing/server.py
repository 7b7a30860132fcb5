"""An OpenAI-compatible server in the test's own process, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from agentinfra._mechanics.closing import cancel_and_wait, finish
from agentinfra.errors import ConfigurationError, NotStartedError
from agentinfra.testing.answers import default_answer
from agentinfra.testing.delivery import Sleep
from agentinfra.testing.endpoints import Endpoints
from agentinfra.testing.faults import Fault
from agentinfra.testing.injection import FaultQueue, When
from agentinfra.testing.ledger import Ledger
from agentinfra.testing.ratelimit import Limiter, RateLimits
from agentinfra.testing.replies import Answerer, Matcher, Playbook, ReplyLike

__all__ = ["OpenAIServer"]

_LARGEST_BODY = 256 * 2**20
_BACKLOG = 1024
_CLOSING = 0.05
_LEDGER_LIMIT = 10_000


class OpenAIServer:
    """Serves chat completions, embeddings and models as OpenAI (and Azure) does.

    An async context manager; whoever enters it owns it. It runs on the event loop it was started
    on and is used from there. Constructing opens nothing. Closing cancels the requests in flight
    and takes a few milliseconds; a server that is started again keeps its port, its ledger and
    its script, so an outage can be played.

    Chat requests are answered by the script, then by the rules, then by the default. Unless another
    is given that calls the tools a question names, fills the schemas it is given, states the
    results of tools and echoes the rest. It is no model.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        api_key: The only key let in; None lets everybody in, without a key too.
        models: The only models there are; None accepts every name.
        limits: Requests and tokens a minute; None has no limits and sends no such headers.
        clock: The time in seconds, for the limits and the ledger.
        sleep: Waits for the delays of replies and faults.
        default: Answers what nothing else does: a function that is given the request's body and
            returns a text or a :class:`Reply`.
        ledger_limit: How many requests the ledger keeps; the totals count all. None keeps all.

    Example:
        async with OpenAIServer() as server:
            server.script("Hello!")
            client = AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0)
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
        sleep: Sleep = asyncio.sleep,
        default: Answerer = default_answer,
        ledger_limit: int | None = _LEDGER_LIMIT,
    ) -> None:
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None
        self._playbook = Playbook(default)
        self._faults = FaultQueue()
        self.ledger = Ledger(limit=ledger_limit)
        self._endpoints = Endpoints(
            ledger=self.ledger,
            playbook=self._playbook,
            faults=self._faults,
            limiter=Limiter(limits, clock) if limits is not None else None,
            api_key=api_key,
            models=models,
            clock=clock,
            sleep=sleep,
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

    def __repr__(self) -> str:
        state = self.root_url if self._runner is not None else "not started"
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

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        if self._runner is not None:
            return
        server = web.Server(
            self._endpoints.handle,
            request_factory=_make_request,
            handler_cancellation=True,
            access_log=None,
            lingering_time=0.0,
        )
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_CLOSING)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=_BACKLOG).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); "
                "give another port, or 0 for a free one"
            ) from error
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening, cancel what is in flight, close every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await finish(self._shut(runner), grace=5.0, name="agentinfra.testing.close")

    async def _shut(self, runner: web.ServerRunner) -> None:
        for site in list(runner.sites):
            await site.stop()
        await cancel_and_wait(*self._endpoints.tasks)
        await runner.cleanup()
        # The tasks of idle connections were told to end; they need a turn of the loop to do it.
        for _ in range(3):
            await asyncio.sleep(0)

    def script(self, *replies: ReplyLike) -> None:
        """Queue answers, one for each chat request to come.

        Args:
            replies: Texts, :class:`Reply` values, or functions (async ones too) that are given
                the request's body and return one.
        """
        self._playbook.script(*replies)

    def on(self, matcher: Matcher, reply: ReplyLike) -> None:
        """Answer matching chat requests when no script is left; the first rule wins.

        Args:
            matcher: A part of the last user message, whatever its case, or a function that is
                given the request's body.
            reply: As for :meth:`script`; it answers any number of requests.
        """
        self._playbook.on(matcher, reply)

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
            fault: One of :mod:`agentinfra.testing.faults`; a function without arguments is called.
            times: How many requests it meets.
            when: Which requests: a part of the path, or a function that is given the record.
            probability: How likely it meets a request that fits.
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
        """Let requests meet a fault until :meth:`recover`; the arguments are those of fail."""
        self._faults.arm(fault, times=None, when=when, probability=probability, seed=seed)

    def recover(self) -> None:
        """Disarm every fault; requests that hang go on hanging."""
        self._faults.clear()

    def clear(self) -> None:
        """Forget the ledger's records, the script, the rules and the faults."""
        self.ledger.clear()
        self._playbook.clear()
        self._faults.clear()

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


def _make_request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
) -> web.BaseRequest:
    """Return a request that may be as large as a batch of embeddings."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY
    )
