"""Every error agentinfra raises, in one tree.

Catch `AgentInfraError` for all of them. No vendor exception leaves the package unmapped: where a
vendor's error is behind one of ours it is its ``__cause__``.

* AgentInfraError
  * ConfigurationError
  * LifecycleError
    * NotStartedError
    * ClosedError
    * WrongLoopError
  * LLMError  (``retryable`` on every leaf)
    * LLMUnavailableError
    * LLMConnectionError
      * LLMTimeoutError
    * LLMStreamInterruptedError
    * LLMStatusError
      * AuthenticationError
      * BadRequestError
        * ContextLengthError
        * ContentFilterError
      * RateLimitedError
      * QuotaExceededError
      * ServerError
    * LLMResponseError
    * StructuredOutputError
      * OutputRefusedError
      * OutputFilteredError
      * OutputCutOffError
    * BudgetExceededError
    * BudgetUnavailableError
    * CircuitOpenError
  * DatabaseError
    * PoolTimeoutError
    * ConnectionLostError
    * QueryError
    * ReadOnlyViolationError
    * StatementTimeoutError
    * VectorError
      * DimensionMismatchError
      * EmbeddingModelMismatchError
  * CacheError
  * CheckpointError
  * JSONExtractionError
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from agentinfra.results import LLMResponse, Usage

__all__ = [
    "AgentInfraError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "BudgetUnavailableError",
    "CacheError",
    "CheckpointError",
    "CircuitOpenError",
    "ClosedError",
    "ConfigurationError",
    "ConnectionLostError",
    "ContentFilterError",
    "ContextLengthError",
    "DatabaseError",
    "DimensionMismatchError",
    "EmbeddingModelMismatchError",
    "JSONExtractionError",
    "LLMConnectionError",
    "LLMError",
    "LLMResponseError",
    "LLMStatusError",
    "LLMStreamInterruptedError",
    "LLMTimeoutError",
    "LLMUnavailableError",
    "LifecycleError",
    "NotStartedError",
    "OutputCutOffError",
    "OutputFilteredError",
    "OutputRefusedError",
    "PoolTimeoutError",
    "QueryError",
    "QuotaExceededError",
    "RateLimitedError",
    "ReadOnlyViolationError",
    "ServerError",
    "StatementTimeoutError",
    "StructuredOutputError",
    "VectorError",
    "WrongLoopError",
]


class AgentInfraError(Exception):
    """The root of every error this package raises."""


class ConfigurationError(AgentInfraError):
    """A setting or an argument cannot be used; the message names it and says what to do."""


class LifecycleError(AgentInfraError):
    """A resource was used at a time or in a place where it cannot be."""


class NotStartedError(LifecycleError):
    """The resource was used before it was entered."""


class ClosedError(LifecycleError):
    """The resource was used after it was left, or while it is being left."""


class WrongLoopError(LifecycleError):
    """The resource belongs to another event loop than the running one."""


class LLMError(AgentInfraError):
    """A call to a model failed.

    Attributes:
        retryable: Whether the same call may succeed when sent again.
    """

    retryable: bool = False


class LLMUnavailableError(LLMError):
    """No endpoint is configured or installed; nothing was sent."""


class LLMConnectionError(LLMError):
    """The endpoint could not be reached, or the connection broke before an answer.

    Attributes:
        sent: Whether the request may have arrived, so that it may be billed.
    """

    retryable = True
    sent = True


class LLMTimeoutError(LLMConnectionError):
    """No answer came within the call's timeout or deadline.

    Attributes:
        impatient: Whether the caller gave less time than the settings do, so that it says nothing
            of the endpoint.
    """

    def __init__(self, message: str, *, impatient: bool = False) -> None:
        super().__init__(message)
        self.impatient = impatient


class LLMStreamInterruptedError(LLMError):
    """A stream ended before its finish reason.

    Never retried: content has been handed out.

    Attributes:
        partial: What arrived: text, tool calls as far as they were sent, finish reason None.
        usage: The tokens booked, an estimate unless the server reported them.
        cost: The cost booked in USD, None where the model has no known price.
    """

    def __init__(
        self, message: str, *, partial: LLMResponse, usage: Usage, cost: Decimal | None
    ) -> None:
        super().__init__(message)
        self.partial, self.usage = partial, usage
        self.cost = cost


class LLMStatusError(LLMError):
    """The endpoint answered with an error status.

    Attributes:
        status_code: The HTTP status; for an error event inside a stream, the status it names or 0.
        request_id: The endpoint's id of the request, None when it sent none.
        code: The endpoint's own word for it (``model_not_found`` ...), None when it gave none.
        param: The parameter it is about, None where the endpoint named none.
        retry_after: Seconds the endpoint asks to wait, None when it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        request_id: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code, self.request_id = status_code, request_id
        self.code, self.param = code, param
        self.retry_after = retry_after


class AuthenticationError(LLMStatusError):
    """The key is wrong, or may not do this (401, 403)."""


class BadRequestError(LLMStatusError):
    """The endpoint refuses the request as it is (400, 404, 413, 422, 501 ...)."""


class ContextLengthError(BadRequestError):
    """The messages are longer than the model's context window."""


class ContentFilterError(BadRequestError):
    """The endpoint's content filter refused the request."""


class RateLimitedError(LLMStatusError):
    """Too many requests or tokens in the endpoint's window (429)."""

    retryable = True

    def __init__(self, message: str, *, status_code: int = 429, **said: Any) -> None:
        super().__init__(message, status_code=status_code, **said)


class QuotaExceededError(LLMStatusError):
    """The account has no quota left; waiting does not help."""


class ServerError(LLMStatusError):
    """The endpoint failed (408, 409, 5xx)."""

    retryable = True


class LLMResponseError(LLMError):
    """The endpoint said 200 and sent something that is not an answer.

    Attributes:
        body: The first characters of what came.
    """

    retryable = True

    def __init__(self, message: str, *, body: str = "", retryable: bool = True) -> None:
        super().__init__(message)
        self.body, self.retryable = body, retryable


class StructuredOutputError(LLMError):
    """The model's output does not fit the schema, repair rounds included.

    Attributes:
        text: The last output of the model, as far as it came.
        errors: What the validator said of it, one line each.
        reply: The last reply, None where there is none.
        usage: The tokens of all rounds.
        cost: What they cost in USD, None where the model has no known price.
        attempts: Requests sent in all of them.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str,
        errors: tuple[str, ...],
        reply: LLMResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.text, self.errors = text, errors
        self.reply = reply
        self.usage = reply.usage if reply is not None else None
        self.cost = reply.cost_usd if reply is not None else None
        self.attempts = reply.attempts if reply is not None else 0


class OutputRefusedError(StructuredOutputError):
    """The model would not answer; ``text`` is what it said instead of a value."""


class OutputFilteredError(StructuredOutputError):
    """The endpoint's content filter stopped the answer; ``text`` is what came before."""


class OutputCutOffError(StructuredOutputError):
    """The answer reached its limit of tokens; ``text`` is what came before, and no value."""


class BudgetExceededError(LLMError):
    """The call could cost more than its budget has left; nothing was sent.

    Attributes:
        limit: The budget's cap in USD.
        spent: What its finished calls cost in USD.
        reserved: What its running calls may cost at worst in USD.
    """

    def __init__(self, message: str, *, limit: Decimal, spent: Decimal, reserved: Decimal) -> None:
        super().__init__(message)
        self.limit, self.spent, self.reserved = limit, spent, reserved


class BudgetUnavailableError(LLMError):
    """The ledger of a budget cannot be reached, and what was leased of it is used up."""

    retryable = True


class CircuitOpenError(LLMError):
    """The endpoint failed too often of late; nothing was sent.

    Attributes:
        retry_after: Seconds until the next probe is let through.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DatabaseError(AgentInfraError):
    """The database cannot be used, or refused."""


class PoolTimeoutError(DatabaseError):
    """No connection became free within the acquire timeout."""


class ConnectionLostError(DatabaseError):
    """The database could not be reached, or the connection broke."""


class QueryError(DatabaseError):
    """The server refused a statement.

    Attributes:
        sqlstate: The five-character SQLSTATE code, empty when there is none.
    """

    def __init__(self, message: str, *, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class ReadOnlyViolationError(DatabaseError):
    """A statement on the read-only path is not a plain read; it was not run.

    Attributes:
        statement: The statement as it was given.
    """

    def __init__(self, message: str, *, statement: str) -> None:
        super().__init__(message)
        self.statement = statement


class StatementTimeoutError(DatabaseError):
    """A statement ran longer than it may and was cancelled."""


class VectorError(DatabaseError):
    """A vector collection cannot do what was asked."""


class DimensionMismatchError(VectorError):
    """An embedding has another number of dimensions than its collection."""


class EmbeddingModelMismatchError(VectorError):
    """An embedding comes from another model than the ones in its collection."""


class CacheError(AgentInfraError):
    """A cache was given something it cannot hold, or its backend failed beyond repair."""


class CheckpointError(AgentInfraError):
    """A checkpoint could not be written, read or pruned."""


class JSONExtractionError(AgentInfraError):
    """No JSON value could be found in a text.

    Attributes:
        text: The text as it was given.
        errors: Why each candidate was refused, one line each.
    """

    def __init__(self, message: str, *, text: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.text, self.errors = text, errors
