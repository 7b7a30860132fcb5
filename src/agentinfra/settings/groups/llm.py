"""The LLM client and its endpoints."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

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
    """

    input: Decimal = Field(ge=0)
    output: Decimal = Field(default=Decimal(0), ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)


class EndpointSettings(Group):
    """An address that speaks OpenAI's protocol.

    Attributes:
        api_key: Its key: text, a path whose file holds it, or a function that gives it for each
            request; None for a compatible server that takes none.
        base_url: Its address, ``/v1`` included; None is OpenAI's own.
        organization: OpenAI organisation id, sent as a header.
        project: OpenAI project id, sent as a header.
        api_version: Azure OpenAI's API version; when set, ``base_url`` is an Azure endpoint.
    """

    api_key: Annotated[Secret | None, BLANK_IS_NONE] = None
    base_url: HttpUrl | None = None
    organization: Annotated[_Header | None, BLANK_IS_NONE] = None
    project: Annotated[_Header | None, BLANK_IS_NONE] = None
    api_version: Annotated[_Header | None, BLANK_IS_NONE] = None

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
        timeout: Seconds one attempt may take.
        deadline: Seconds a whole call may take, waits and retries included; None is no end.
        max_attempts: Requests sent at most for one call; 1 never retries.
        transport: ``direct`` sends through our own connection pool, ``sdk`` through the openai
            package's.
        max_connections: Requests in flight to an endpoint at most, for each model; with the direct
            transport its connections as well, over all models.
        max_queued: Calls that wait for an endpoint at most; more are refused at once.
        fallback_models: Models tried in order when the call's model fails; ``name/model`` is a
            model of the endpoint of that name.
        endpoints: More endpoints, by name.
        hedge: True sends a second request when the first takes longer than 95 % of those before,
            for at most 5 % of the calls, and takes what answers first.
        prices: Prices by model, before the built-in ones; for private deployments.
    """

    enabled: bool = True
    model: str = "gpt-4o-mini"
    embedding_model: str = "text-embedding-3-small"
    embedding_dimensions: int | None = Field(default=None, ge=1)
    timeout: float = Field(default=60.0, gt=0)
    deadline: float | None = Field(default=None, gt=0)
    max_attempts: int = Field(default=4, ge=1)
    transport: Literal["direct", "sdk"] = "direct"
    max_connections: int = Field(default=1000, ge=1)
    max_queued: int = Field(default=10_000, ge=0)
    fallback_models: tuple[str, ...] = ()
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)
    hedge: bool = False
    prices: dict[str, ModelPrice] = Field(default_factory=dict)

    @property
    def configured(self) -> bool:
        """Whether there is anything to send a request to."""
        return self.api_key is not None or self.base_url is not None
