"""The client people call: one place for every model call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._types import Messages
from agentinfra.errors import LLMUnavailableError
from agentinfra.jsontext.extract import extract_json
from agentinfra.llm.calls.background import Background
from agentinfra.llm.calls.telemetry import LLMTelemetry
from agentinfra.llm.calls.vectors import Wanted
from agentinfra.llm.dialects.request import TextRequest, text_request
from agentinfra.llm.kinds import Calls
from agentinfra.llm.money.budget import Budget
from agentinfra.llm.policy.endpoints import Endpoints
from agentinfra.llm.policy.patience import CONFIGURED, Configured, begun
from agentinfra.llm.probing import EndpointsProbe
from agentinfra.llm.structured.calls import StructuredCalls, Transport
from agentinfra.llm.structured.client import StructuredClient
from agentinfra.llm.wire.checkup import Finding
from agentinfra.observability.metrics import Metrics
from agentinfra.results import EmbeddingBatch, LLMResponse, ResourceHealth

if TYPE_CHECKING:
    from agentinfra.llm.calls.stream import LLMStream
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.wire.credentials import KeyProvider
    from agentinfra.protocols import NoticeBoard, ReplyCache, VectorCache
    from agentinfra.settings import LLMSettings

__all__ = ["AsyncLLMClient"]

UNCONFIGURED = (
    "no model endpoint is configured: "
    "set OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible server"
)


class AsyncLLMClient(StructuredClient):
    """Calls OpenAI and every server that speaks its protocol.

    Each call is paid for out of the budgets around it, retried where that helps, and recorded.
    Enter it once; its tasks share it. Cancelling closes the call's connection and pays its prompt.

    Without a key and an address it is degraded: chat raises ``LLMUnavailableError``, embeddings
    come from a deterministic hash and say so.

    Args:
        settings: The endpoint and the limits; None reads them from the environment.
        metrics: Where calls are counted.
        vectors: A cache asked before texts are sent.
        replies: A cache of answers, asked where a call says ``cache``.
        key: Gives the key of each request, for keys that rotate; in place of the settings' one.
        capture_content: Whether messages and answers go into spans.
        observed: False records nothing: no series, no span, no line of a log.
        clock: Where time comes from.
        board: Where processes share the limits of endpoints.

    Example:
        ```python
        async with AsyncLLMClient() as llm:
            reply = await llm.chat_completion([{"role": "user", "content": "Hello"}])
        ```
    """

    name = "llm"
    vendors: tuple[str, ...] = (
        "openai",
        "aiohttp",
        "tenacity",
        "numpy",
        "jsonschema",
        "genai_prices.data",
        "orjson",  # without a runtime around it the first line of its log would load them
        "structlog",
    )

    def __init__(
        self,
        settings: LLMSettings | None = None,
        *,
        metrics: Metrics | None = None,
        vectors: VectorCache | None = None,
        replies: ReplyCache | None = None,
        key: KeyProvider | None = None,
        capture_content: bool = False,
        observed: bool = True,
        clock: Clock = SYSTEM_CLOCK,
        board: NoticeBoard | None = None,
    ) -> None:
        super().__init__()
        if settings is None:
            from agentinfra.settings import Settings

            settings = Settings().llm
        self._settings = settings
        if not self._settings.enabled:
            self.vendors = ()
        self._metrics = metrics or Metrics.off()
        self._vectors, self._replies, self._board = vectors, replies, board
        self._key, self._clock = key, clock
        self._capture_content, self._observed = capture_content, observed
        self._endpoints = Endpoints(self._settings, key=key, clock=clock)
        self._calls: Calls | None = None
        self._probing = EndpointsProbe(self._settings, self._endpoints, clock=clock)

    async def _open(self) -> None:
        s = self._settings
        telemetry = LLMTelemetry(
            self._metrics, capture_content=self._capture_content, observed=self._observed
        )
        if not s.enabled:
            self.degrade("switched off by Settings.llm.enabled", state="disabled")
        elif not s.configured and self._key is None:
            self.degrade(UNCONFIGURED)
        else:
            await self._endpoints.open()
            telemetry.expect(self._endpoints.named, self._endpoints.servers)
        self._calls = Calls(
            s,
            self._endpoints.first,
            Transport(
                whole=partial(self._run, component="structured"),
                streamed=self._stream,
                begin=self._timed,
            ),
            telemetry=telemetry,
            metrics=self._metrics,
            vectors=self._vectors,
            replies=self._replies,
            clock=self._clock,
            board=self._board,
        )

    async def _close(self) -> None:
        if self._calls is not None:
            await self._calls.aclose()
        await self._endpoints.aclose()

    async def probe(self, *, thorough: bool = False) -> ResourceHealth:
        """Ask the endpoints whether they work, without a token; an answer holds for a while.

        Args:
            thorough: Ask now, and try whether calls would work, too, with one that is empty and
                has to be refused. Some servers list their models for a key they take no calls of.
        """
        finding = Finding(state=self._state, reason=self._reason)
        if self._state == "ready" and self._calls is not None:
            if weakness := self._calls.weakness:  # left alone, and asked when that is over
                finding = Finding(state="degraded", reason=weakness)
            elif thorough:
                finding = await self._probing.examine(thorough=True)
            else:
                finding = await self._probing.finding()
        detail = f"{self._settings.model} at {self._endpoints.first.address}"
        return ResourceHealth(
            name=self.name,
            state=finding.state,
            reason=finding.reason,
            latency=finding.latency,
            detail=f"{detail}; {finding.detail}" if finding.detail else detail,
        )

    @overload
    async def chat_completion(
        self,
        messages: Messages,
        *,
        stream: Literal[False] = False,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        response_format: Any = None,
        timeout: float | Configured | None = CONFIGURED,
        deadline: float | Configured | None = CONFIGURED,
        tenant: str = "",
        **options: Any,
    ) -> LLMResponse: ...

    @overload
    async def chat_completion(
        self,
        messages: Messages,
        *,
        stream: Literal[True],
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        response_format: Any = None,
        timeout: float | Configured | None = CONFIGURED,
        deadline: float | Configured | None = CONFIGURED,
        tenant: str = "",
        **options: Any,
    ) -> LLMStream: ...

    async def chat_completion(
        self,
        messages: Messages,
        *,
        stream: bool = False,
        model: str | None = None,
        timeout: float | Configured | None = CONFIGURED,
        deadline: float | Configured | None = CONFIGURED,
        tenant: str = "",
        **options: Any,
    ) -> LLMResponse | LLMStream:
        """Ask a model for the next message.

        Sent to Chat Completions or to the Responses API, as endpoint and model want it
        (``Settings.llm.api``); both take the same messages and parameters, and those of the second
        (``previous_response_id``, ``reasoning``, built-in tools ...) pass through.

        Args:
            messages: The conversation as OpenAI's chat takes it, pictures and audio included, and
                the ``message`` of replies as they came.
            stream: True returns an `LLMStream` once the first content has come.
            model: The model; None is the configured one.
            timeout: Seconds one attempt may take; for a stream, until its first content and
                between two pieces. 0 is now, None has no end; left out, the configured one.
            deadline: Seconds the whole call may take, waits and retries included. 0 is now, None
                has no end; left out, the configured one.
            tenant: Whom it is for; tenants take turns where calls wait.
            options: Every other parameter of OpenAI's (``temperature``, ``max_tokens``,
                ``tools`` ...), said in the words of the API it goes to, and
                ``extra_headers``, ``extra_query``, ``extra_body`` as the openai package has them.
                ``unsupported="drop"`` leaves out what the model is known to refuse.
                ``response_format`` takes a type as well, see `structured`: the reply's ``parsed``
                is its instance. ``cache="1h"`` gives the whole answer to an equal call of that
                hour again: `LLMResponse.cached`.

        Raises:
            ConfigurationError: The messages cannot be sent as they are.
            StructuredOutputError: ``response_format`` is a type, and the answer does not fit it.
            BudgetExceededError: A budget around the call has too little left; nothing was sent.
            LLMError: The call failed; the subclass says how, ``retryable`` whether to try again.
        """
        calls = self._ready()
        form = options.get("response_format")
        if form is not None and not isinstance(form, Mapping):
            given = {"model": model, "timeout": timeout, "deadline": deadline, "tenant": tenant}
            given |= {"stream": stream, "response_format": None}
            return await self._answer_of(messages, form, {**options, **given})
        request = text_request(messages, model or self._settings.model, options, stream=stream)
        call = self._timed(deadline, timeout, tenant)
        if stream:
            return await self._stream(request, call)
        return await self._complete(calls, request, call, "chat")

    def _timed(
        self,
        deadline: float | Configured | None,
        timeout: float | Configured | None = CONFIGURED,
        tenant: str = "",
        what: str = "chat",
    ) -> Call:
        return begun(what, self._settings, timeout, deadline, tenant=tenant, clock=self._clock)

    async def _run(self, request: TextRequest, call: Call, component: str = "chat") -> LLMResponse:
        return await self._complete(self._ready(), request, call, component)

    async def _complete(
        self, calls: Calls, request: TextRequest, call: Call, component: str
    ) -> LLMResponse:
        targets = self._endpoints.ordered(request.model, "chat", calls.gates)
        with self._inflight.begin():
            return await calls.chat.complete(request, call, targets, component=component)

    async def _stream(self, request: TextRequest, call: Call) -> LLMStream:
        calls = self._ready()
        targets = self._endpoints.ordered(request.model, "chat", calls.gates)
        return await calls.chat.stream(request, call, targets, self._inflight.begin())

    async def get_embeddings(
        self,
        texts: Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        timeout: float | Configured | None = CONFIGURED,
        deadline: float | Configured | None = CONFIGURED,
        tenant: str = "",
        **options: Any,
    ) -> EmbeddingBatch:
        """Turn texts into vectors of length 1.

        Sent in as few requests as the endpoint's limits allow, side by side; a text that another
        call is having embedded at this moment is not sent again.

        Args:
            texts: The texts; equal ones are sent once.
            model: The embedding model; None is the configured one.
            dimensions: The vectors' length; None is the configured or the model's own.
            timeout: Seconds one request may take; 0 is now, None has no end.
            deadline: Seconds the whole call may take; 0 is now, None has no end.
            tenant: Whom it is for; tenants take turns where calls wait.
            options: Every other parameter (``user``, ``extra_headers`` ...), passed through.

        Returns:
            The vectors in the order of the texts. Without an endpoint they come from a
            deterministic hash, and ``degraded`` says so.

        Raises:
            ConfigurationError: A text is empty or too long; the message names its index.
            LLMError: The call failed.
        """
        calls = self._ready(degraded=True)
        chosen = model or self._settings.embedding_model
        length = dimensions or self._settings.embedding_dimensions
        with self._working():
            if self._state != "ready":
                return calls.embeddings.fallback(texts, length, reason=self._reason)
            call = self._timed(deadline, timeout, tenant, "embeddings")
            target = self._endpoints.ordered(chosen, "embeddings", calls.gates)[0]
            more = {name: value for name, value in options.items() if value is not None}
            wanted = Wanted(texts=texts, dimensions=length, more=more)
            return await calls.embeddings.get(wanted, call, target)

    @property
    def background(self) -> Background:
        """Responses that go on at their endpoint: wait for them, go on with their streams."""
        return Background(self._settings, self._run, self._stream, self._timed, self._clock)

    def extract_json(self, text: str, schema: Any = None) -> Any:
        """Find the JSON in a model's text; see `extract_json`."""
        return extract_json(text, schema)

    def budget(
        self,
        usd: Decimal | float | str,
        *,
        name: str = "budget",
        unknown_prices: Literal["refuse", "allow"] = "refuse",
    ) -> Budget:
        """Return a budget to enter around calls; see `Budget`."""
        return Budget(usd, name=name, unknown_prices=unknown_prices)

    def _structures(self) -> StructuredCalls:
        return self._ready().structured

    def _ready(self, *, degraded: bool = False) -> Calls:
        self._guard()
        if self._state != "ready" and not degraded:
            raise LLMUnavailableError(self._reason)
        assert self._calls is not None  # noqa: S101 - the guard has seen it opened
        return self._calls
