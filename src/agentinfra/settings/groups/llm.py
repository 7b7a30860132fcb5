"""The LLM client and its endpoints."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from agentinfra.settings.groups.group import BLANK_IS_NONE, Group
from agentinfra.settings.secret import Secret, header_text
from agentinfra.settings.url import HttpUrl

__all__ = ["EndpointSettings", "LLMSettings", "ModelPrice"]

_Header = Annotated[str, AfterValidator(str.strip), AfterValidator(header_text)]


class ModelPrice(Group):
    """What a model costs, in USD per million tokens.

    Attributes:
        input: Prompt tokens.
        output: Completion tokens.
        cached_input: Cached prompt tokens; None prices them as prompt tokens.
        cache_write: Prompt tokens written to the cache; None prices them as prompt tokens.
        cache_write_1h: Those that are kept there for an hour; None prices them as the others.
        audio_input: Audio tokens of the prompt; None prices them as prompt tokens.
        audio_output: Audio tokens of the completion; None prices them as completion tokens.
        image_input: Tokens of pictures in the prompt; None prices them as prompt tokens.
        image_output: Tokens of pictures in the completion; None prices them as completion tokens.
        output_limit: Tokens an answer has at most, for what budgets hold of a call that names no
            limit; None is what is known of the model.
        context_window: Tokens the model's context holds, for the same; None is unknown.
    """

    input: Decimal = Field(ge=0)
    output: Decimal = Field(default=Decimal(0), ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)
    cache_write: Decimal | None = Field(default=None, ge=0)
    cache_write_1h: Decimal | None = Field(default=None, ge=0)
    audio_input: Decimal | None = Field(default=None, ge=0)
    audio_output: Decimal | None = Field(default=None, ge=0)
    image_input: Decimal | None = Field(default=None, ge=0)
    image_output: Decimal | None = Field(default=None, ge=0)
    output_limit: int | None = Field(default=None, ge=1)
    context_window: int | None = Field(default=None, ge=1)


class EndpointSettings(Group):
    """An address that speaks OpenAI's protocol, and what is peculiar about how it does.

    What is left at None is what a preset knows of the address (OpenAI, Azure, OpenRouter, Mistral,
    Gemini and others), else what most servers take.

    Attributes:
        api_key: Its key: text, a path whose file holds it, or a function that gives it for each
            request; None for a compatible server that takes none.
        base_url: Its address, ``/v1`` included; an operation's path behind it is taken off, a query
            goes with every request. None is OpenAI's own.
        organization: OpenAI organisation id, sent as a header.
        project: OpenAI project id, sent as a header.
        api_version: Azure OpenAI's API version; when set, ``base_url`` is an Azure endpoint.
        preset: Whose server it is, where the address does not tell (``openai`` behind a gateway).
        api: ``chat`` and ``responses`` pin an API; ``auto`` decides by endpoint and model.
        auth: How a key is sent: as ``bearer``, as ``api-key``, or not at all (``none``).
        extra_headers: Headers of every request.
        extra_query: Query parameters of every request.
        extra_body: Fields of every body.
        paths: Paths other than OpenAI's, by ``chat``, ``responses`` and ``embeddings``.
        token_limit: How Chat Completions names the limit of an answer; ``auto`` as the model
            wants it.
        stream_options: Whether streams are asked for their usage.
        unsupported: ``refuse`` raises for a parameter a model is known to refuse, ``drop`` leaves
            it out.
        embedding_inputs: Texts one request for embeddings may have.
        embedding_tokens: Tokens one request for embeddings may have.
        embedding_text_tokens: Tokens one text may have.
        embedding_encoding: How vectors are asked for, ``base64`` or ``float``.
        largest_answer: Bytes an answer may have.
        header_size: Bytes one header of an answer may have.
        propagate: Whether requests carry the trace's ``traceparent``; None does so where the
            address is of a private network.
        weight: Its share where it serves a model along with others.
        prices_of: Whose published prices its models have, as genai-prices names them (``openai``,
            ``anthropic``, ``google`` ...), before what it reports itself: for a proxy that passes
            the maker's bill on. None: what it reports, else those of its address; on a private
            address those of the model's maker.
    """

    api_key: Annotated[Secret | None, BLANK_IS_NONE] = None
    base_url: HttpUrl | None = None
    organization: Annotated[_Header | None, BLANK_IS_NONE] = None
    project: Annotated[_Header | None, BLANK_IS_NONE] = None
    api_version: Annotated[_Header | None, BLANK_IS_NONE] = None
    preset: str | None = None
    api: Literal["auto", "chat", "responses"] | None = None
    auth: Literal["bearer", "api-key", "none"] | None = None
    extra_headers: dict[str, SecretStr] = Field(default_factory=dict)
    extra_query: dict[str, str] = Field(default_factory=dict)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    paths: dict[Literal["chat", "responses", "embeddings"], str] = Field(default_factory=dict)
    token_limit: Literal["auto", "max_tokens", "max_completion_tokens"] | None = None
    stream_options: bool | None = None
    unsupported: Literal["refuse", "drop"] = "refuse"
    embedding_inputs: int | None = Field(default=None, ge=1)
    embedding_tokens: int | None = Field(default=None, ge=1)
    embedding_text_tokens: int | None = Field(default=None, ge=1)
    embedding_encoding: Literal["base64", "float"] | None = None
    largest_answer: int = Field(default=64_000_000, ge=1)
    header_size: int = Field(default=65_536, ge=1024)
    propagate: bool | None = None
    weight: float = Field(default=1.0, gt=0)
    prices_of: Annotated[str | None, BLANK_IS_NONE] = None

    @model_validator(mode="after")
    def _azure_needs_an_address(self) -> Self:
        if self.api_version is not None and self.base_url is None:
            raise ValueError("api_version is for Azure OpenAI: set base_url to its endpoint too")
        return self


class LLMSettings(EndpointSettings):
    """The LLM client, and the endpoint it calls first.

    Attributes:
        enabled: False leaves the client out; calls raise ``LLMUnavailableError``.
        model: The chat model of calls that name none.
        embedding_model: The embedding model of calls that name none.
        embedding_dimensions: Length of the vectors; None is the model's own.
        timeout: Seconds one attempt may take, for a stream the seconds between two events that say
            something; None is no end.
        deadline: Seconds a whole call may take, waits and retries included; None is no end.
        longest_wait: Seconds a call without a deadline waits at once, for its turn or because an
            endpoint asks for it, before it fails or falls back; 0 never waits, None has no end.
        max_attempts: Requests sent at most for one call; 1 never retries.
        transport: ``direct`` sends through our own connection pool, ``sdk`` through the openai
            package's.
        max_connections: Requests in flight to an endpoint at most, for each model; with the direct
            transport its connections as well, over all models.
        max_queued: Calls that wait for an endpoint at most; more are refused at once.
        share_limits: Whether processes on one database or Redis share what endpoints that show
            their limits let through, and ``max_connections`` of those.
        fallback_models: Models tried in order when the call's model fails; ``name/model`` is a
            model of the endpoint of that name.
        endpoints: More endpoints, by name.
        routes: Models that several endpoints serve, each as a list of ``name/model``: calls are
            shared out by the endpoints' weights, and one that fails is left out for a while.
        hedge: True sends a second request when the first takes longer than 95 % of those before,
            for at most 5 % of the calls, and takes what answers first.
        prices: Prices by model, before the built-in ones; for private deployments.
    """

    enabled: bool = True
    model: str = "gpt-4o-mini"
    embedding_model: str = "text-embedding-3-small"
    embedding_dimensions: int | None = Field(default=None, ge=1)
    timeout: float | None = Field(default=60.0, gt=0)
    deadline: float | None = Field(default=None, gt=0)
    longest_wait: float | None = Field(default=60.0, ge=0)
    max_attempts: int = Field(default=4, ge=1)
    transport: Literal["direct", "sdk"] = "direct"
    max_connections: int = Field(default=1000, ge=1)
    max_queued: int = Field(default=10_000, ge=0)
    share_limits: bool = True
    fallback_models: tuple[str, ...] = ()
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)
    routes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    hedge: bool = False
    prices: dict[str, ModelPrice] = Field(default_factory=dict)

    @property
    def configured(self) -> bool:
        """Whether there is anything to send a request to."""
        return self.api_key is not None or self.base_url is not None
