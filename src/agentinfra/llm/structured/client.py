"""The part of the client that gives values in place of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from agentinfra._mechanics.resource import Resource
from agentinfra._types import Messages
from agentinfra.llm.structured.stream import StructuredStream

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from agentinfra.llm.structured.calls import StructuredCalls
    from agentinfra.results import LLMResponse

__all__ = ["StructuredClient"]

T = TypeVar("T")


class StructuredClient(Resource):
    """Calls whose answers fit a type, a function's parameters, or a JSON Schema."""

    def _structures(self) -> StructuredCalls:
        """Return what makes the calls, of a client that can be used."""
        raise NotImplementedError

    @overload
    async def structured(
        self, messages: Messages, schema: type[T], *, repair_rounds: int = 1, **options: Any
    ) -> T: ...
    @overload
    async def structured(
        self, messages: Messages, schema: TypeAdapter[T], *, repair_rounds: int = 1, **options: Any
    ) -> T: ...
    @overload
    async def structured(
        self,
        messages: Messages,
        schema: Any,
        *,
        repair_rounds: int = 1,
        **options: Any,
    ) -> Any: ...
    async def structured(
        self, messages: Messages, schema: Any, *, repair_rounds: int = 1, **options: Any
    ) -> Any:
        """Ask a model for a value and return it.

        Args:
            messages: The conversation.
            schema: A type that pydantic can adapt (a model, a dataclass, a TypedDict, a list, a
                union, a Literal, a scalar, a TypeAdapter): an instance of it comes back. A JSON
                Schema as a dict: plain data does. A function with annotations: its arguments.
            repair_rounds: How often a value that does not fit goes back with what is wrong.
            options: As for `chat_completion`; one deadline holds for all rounds.

        Raises:
            ConfigurationError: The schema is none.
            OutputRefusedError: The model would not answer.
            OutputFilteredError: A content filter stopped the answer.
            OutputCutOffError: The answer reached its limit of tokens.
            StructuredOutputError: The value does not fit, repair rounds included; like the three
                above it holds the text, and the usage and cost of all rounds.
            LLMError: As for `chat_completion`.
        """
        calls = self._structures()
        plan = calls.plan((schema,), None)
        reply = await calls.call(messages, plan, rounds=repair_rounds, options=options)
        return reply.parsed

    @overload
    def structured_stream(
        self, messages: Messages, schema: type[T], *, repair_rounds: int = 1, **options: Any
    ) -> StructuredStream[T]: ...
    @overload
    def structured_stream(
        self, messages: Messages, schema: TypeAdapter[T], *, repair_rounds: int = 1, **options: Any
    ) -> StructuredStream[T]: ...
    @overload
    def structured_stream(
        self, messages: Messages, schema: Any, *, repair_rounds: int = 1, **options: Any
    ) -> StructuredStream[Any]: ...
    def structured_stream(
        self, messages: Messages, schema: Any, *, repair_rounds: int = 1, **options: Any
    ) -> StructuredStream[Any]:
        """Ask a model for a value and return it as it comes, see `StructuredStream`.

        Args:
            messages: The conversation.
            schema: As for `structured`.
            repair_rounds: How often a whole value that does not fit goes back; these rounds are
                not streamed.
            options: As for `chat_completion`.

        Raises:
            ConfigurationError: The schema is none.
        """
        calls = self._structures()
        plan = calls.plan((schema,), None)
        begin = partial(calls.stream, messages, plan, rounds=repair_rounds, options=options)
        return StructuredStream(schema, begin, calls.finished)

    async def chat_completion_with_tools(
        self,
        messages: Messages,
        tools: Sequence[Any],
        *,
        tool_choice: str | Mapping[str, Any] | None = None,
        repair_rounds: int = 1,
        **options: Any,
    ) -> LLMResponse:
        """Ask a model to call one or several of some functions, with arguments that fit.

        A model that takes no tools is asked for strict JSON Schema output, then for JSON, then in
        words; what an endpoint says it does not take is remembered for the model for an hour.

        Args:
            messages: The conversation.
            tools: OpenAI tool definitions, JSON Schemas with a title, functions with annotations,
                or types that pydantic can adapt. They go in OpenAI's strict form where there is
                one.
            tool_choice: As OpenAI takes it, or the name of a tool; None requires one of them to
                be called, ``auto`` leaves it to the model, in words too where it takes no tools.
            repair_rounds: How often arguments that do not fit go back with what is wrong.
            options: As for `chat_completion`; one deadline holds for all rounds.

        Returns:
            The response; ``tool_calls`` are all calls, each with its ``parsed`` value (an instance
            where the tool is a type; of a function its arguments, which call it when called).
            ``text`` is the first call's arguments as JSON, ``parsed`` their value. Usage, cost and
            attempts are those of all rounds.

        Raises:
            StructuredOutputError: As for `structured`.
            LLMError: As for `chat_completion`.
        """
        calls = self._structures()
        plan = calls.plan(tuple(tools), tool_choice)
        return await calls.call(messages, plan, rounds=repair_rounds, options=options)

    async def _answer_of(
        self, messages: Messages, schema: Any, options: Mapping[str, Any]
    ) -> LLMResponse:
        """Ask for an answer that fits, with the caller's own tools beside it."""
        calls = self._structures()
        plan = calls.plan((schema,), None, called=False)
        return await calls.call(messages, plan, rounds=1, options=options)
