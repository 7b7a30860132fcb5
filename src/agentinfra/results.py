"""The values calls return: frozen, comparable, free of vendor types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from agentinfra._frozen import cheap_to_make

if TYPE_CHECKING:
    from decimal import Decimal

    import numpy as np
    from numpy.typing import NDArray

    from agentinfra._types import ResourceState

__all__ = [
    "AnswerSource",
    "CacheStats",
    "Choice",
    "EmbeddingBatch",
    "HealthReport",
    "LLMResponse",
    "QueryResult",
    "ResourceHealth",
    "SearchHit",
    "ToolCall",
    "Usage",
]


@cheap_to_make
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one call.

    Attributes:
        prompt_tokens: Tokens sent, cached ones included.
        completion_tokens: Tokens generated, reasoning included.
        total_tokens: The sum as the server counts it.
        cached_tokens: The part of the prompt the server had cached.
        cache_write_tokens: The part of the prompt the server wrote to its cache.
        cache_write_1h_tokens: The part of those that it keeps for an hour, where that is dearer.
        reasoning_tokens: The part of the completion that is hidden reasoning.
        audio_prompt_tokens: The part of the prompt that is audio.
        audio_completion_tokens: The part of the completion that is audio.
        image_prompt_tokens: The part of the prompt that is pictures, where the server counts them.
        image_completion_tokens: The part of the completion that is pictures.
        web_searches: Searches of the web the server made for the answer.
        file_searches: Searches of stored files it made.
        reported_cost: What the server says all of it costs in USD, None where it does not.
        estimated: True where the server reported nothing and these are our estimate.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    image_prompt_tokens: int = 0
    image_completion_tokens: int = 0
    web_searches: int = 0
    file_searches: int = 0
    reported_cost: Decimal | None = None
    estimated: bool = False

    @property
    def audio_tokens(self) -> int:
        """The part of prompt and completion that is audio."""
        return self.audio_prompt_tokens + self.audio_completion_tokens

    def __add__(self, other: Usage) -> Usage:
        if self == _NOTHING:
            return other
        if other == _NOTHING:
            return self
        one, two = self.reported_cost, other.reported_cost
        counts = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        return Usage(
            **counts,
            # A sum of which a part is missing would be too low.
            reported_cost=None if one is None or two is None else one + two,
            estimated=self.estimated or other.estimated,
        )


_NOTHING = Usage()
_COUNTS = tuple(
    part.name for part in fields(Usage) if part.name not in ("reported_cost", "estimated")
)


@cheap_to_make
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function the model asks to be called.

    Attributes:
        id: The call's id, to be repeated in the ``tool`` message that answers it.
        name: The function's name.
        arguments: The arguments as the model wrote them: JSON text, possibly broken. For a custom
            tool: its input, any text.
        kind: ``function``, or ``custom`` for a custom tool.
        parsed: The arguments as a value that fits the tool's schema, where tools were given with
            ``chat_completion_with_tools``; else None.
    """

    id: str
    name: str
    arguments: str
    kind: str = "function"
    parsed: Any = field(default=None, compare=False)


@cheap_to_make
@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the answers of a call; there are several where ``n`` asked for them.

    Attributes:
        index: Its number, from 0.
        text: Its text.
        reasoning: What the model thought, as far as its endpoint shows it.
        refusal: Why the model would not answer, None where it did.
        tool_calls: The functions it wants called.
        finish_reason: Why the model stopped.
        message: The assistant's turn, ready to be sent back.
    """

    index: int
    text: str
    reasoning: str
    refusal: str | None
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    message: Mapping[str, Any]


class AnswerSource(Protocol):
    """What a response was read from; read further only when somebody asks."""

    @property
    def api(self) -> str:
        """``chat`` or ``responses``."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """The whole answer as the endpoint sent it, events of a stream put together."""
        ...

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice."""
        ...


@cheap_to_make
@dataclass(frozen=True, slots=True, kw_only=True)
class LLMResponse:
    """What a finished chat call gave.

    Attributes:
        text: The answer's text, empty where the model only called tools or refused. For a call
            that asked for structured output: its JSON.
        reasoning: What the model thought, as far as its endpoint shows it.
        refusal: Why the model would not answer, None where it did.
        tool_calls: The functions the model wants called, in its order.
        parsed: The parsed value where structured output was asked for, else None; of several calls
            that of the first, each has its own.
        model: The model that answered, as the server names it.
        usage: The tokens of the answered attempt.
        cost_usd: What the call cost in USD, None when the model has no known price.
        finish_reason: Why the model stopped (``stop``, ``length``, ``tool_calls`` ...).
        attempts: Requests sent for this answer, 1 when the first succeeded.
        latency: Seconds from the call to the answer, waits and retries included.
        degraded: Why this is less than was asked for, None when it is not.
        request_id: The server's id of the request, None when it sent none.
        response_id: The answer's own id; the Responses API takes it as ``previous_response_id``.
        trace_id: The trace the call belongs to, None outside of one.
        cached: Whether it is the answer to an equal call before, kept as ``cache`` had asked: it
            cost nothing, and ``usage`` says what it took then.
    """

    text: str
    reasoning: str = ""
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    parsed: Any = None
    model: str
    usage: Usage
    cost_usd: Decimal | None
    finish_reason: str | None
    attempts: int = 1
    latency: float = 0.0
    degraded: str | None = None
    request_id: str | None = None
    response_id: str | None = None
    trace_id: str | None = None
    cached: bool = False
    _source: AnswerSource | None = field(default=None, repr=False, compare=False)
    _vendor: Callable[[AnswerSource], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def raw(self) -> Any:
        """The answer as the openai package's own type, built when it is asked for.

        Of a stream: its events put together. None for an answer that never was a response of a
        server (one from a cache).
        """
        if self._source is None or self._vendor is None:
            return None
        return self._vendor(self._source)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every answer, in order; several where ``n`` asked for them."""
        if self._source is not None and (found := self._source.choices):
            return found
        return (self._only_choice(),)

    @property
    def message(self) -> Mapping[str, Any]:
        """The assistant's turn, ready to be appended to the next call's messages.

        It holds what the endpoint wants back (reasoning, signatures, items of the Responses API)
        exactly as it came, and can be sent to either API. A plain dict that JSON can hold.
        """
        return self.choices[0].message

    def _only_choice(self) -> Choice:
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.refusal:
            message["refusal"] = self.refusal
        if self.tool_calls:
            message["tool_calls"] = [_as_sent(call) for call in self.tool_calls]
        return Choice(
            index=0,
            text=self.text,
            reasoning=self.reasoning,
            refusal=self.refusal,
            tool_calls=self.tool_calls,
            finish_reason=self.finish_reason,
            message=message,
        )


def _as_sent(call: ToolCall) -> dict[str, Any]:
    if call.kind == "custom":
        custom = {"name": call.name, "input": call.arguments}
        return {"id": call.id, "type": "custom", "custom": custom}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingBatch:
    """Embeddings, in the order of their texts.

    Attributes:
        vectors: float32 of shape (number of texts, dimensions), each row of length 1.
        model: The model as it was asked for; the hash fallback has a name of its own.
        usage: The tokens sent; what a cache answered is not in it.
        cost_usd: What the call cost in USD, None when the model has no known price.
        degraded: Why these are not the configured model's vectors, None when they are.
        cached: How many of the texts a cache answered.
    """

    vectors: NDArray[np.float32]
    model: str
    usage: Usage
    cost_usd: Decimal | None
    degraded: str | None = None
    cached: int = 0

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult(Sequence[Mapping[str, Any]]):
    """The rows of a read.

    A sequence of mappings from column name to value.

    Attributes:
        columns: The column names, in order.
        rows: The rows.
        truncated: True where the statement had more rows (or bytes) than the limit let through.
        latency: Seconds the database took.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    truncated: bool = False
    latency: float = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)


@cheap_to_make
@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """One record a vector search found.

    Attributes:
        id: The record's id.
        text: Its text.
        score: Cosine similarity (1 is the same direction); for a hybrid search the fused score.
        metadata: What was stored with it.
    """

    id: str
    text: str
    score: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a cache did since it was made.

    Attributes:
        size: Entries held in memory now.
        bytes: Their approximate size in memory now.
        hits: Gets that found a value.
        misses: Gets that found none.
        evictions: Entries dropped for room.
        expirations: Entries dropped for age.
        coalesced: Callers that waited for another caller's loader.
        errors: Failures of the shared tier.
        refused: Values too large to be held.
        refresh_failures: Loads that failed while an old value could be given.
    """

    size: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0
    coalesced: int = 0
    errors: int = 0
    refused: int = 0
    refresh_failures: int = 0

    @property
    def hit_ratio(self) -> float:
        """Hits over all gets, 0.0 when there were none."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceHealth:
    """One resource's state.

    Attributes:
        name: The resource (``llm``, ``database``, ``cache`` ...).
        state: ``ready``, ``degraded``, ``disabled`` or ``failed``.
        reason: Why it is not ready and what mends it; empty when ready.
        latency: Seconds the check took, None where nothing was asked.
        detail: What the resource is (a server's version, a model's name), for people.
    """

    name: str
    state: ResourceState
    reason: str = ""
    latency: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The state of every resource of a runtime, one row each."""

    resources: tuple[ResourceHealth, ...]

    @property
    def ok(self) -> bool:
        """True when everything that is switched on is ready."""
        return all(row.state in ("ready", "disabled") for row in self.resources)

    def __getitem__(self, name: str) -> ResourceHealth:
        for row in self.resources:
            if row.name == name:
                return row
        raise KeyError(name)
