"""What failed a span, in words that hold no secret; and what is no failure."""

from __future__ import annotations

import asyncio

from agentinfra.observability.redaction import Redactor

__all__ = ["error_message", "error_text", "is_no_failure"]

_DEFAULT = Redactor()


def is_no_failure(error: BaseException) -> bool:
    """Say whether an exception is how control flows: cancelled, left, or a graph that waits."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return True
    # LangGraph's GraphBubbleUp: interrupt() for a human, a command for the graph around.
    return any(
        kind.__name__ == "GraphBubbleUp" and kind.__module__.startswith("langgraph.")
        for kind in type(error).__mro__
    )


def error_text(error: BaseException | str, redactor: Redactor = _DEFAULT) -> str:
    """Return an error's class and message on one line, without secrets."""
    message = error_message(error, redactor)
    if isinstance(error, str):
        return message
    name = type(error).__qualname__
    return f"{name}: {message}" if message else name


def error_message(error: BaseException | str, redactor: Redactor = _DEFAULT) -> str:
    """Return an error's message on one line, without secrets."""
    try:
        return " ".join(redactor.text(str(error)).split())
    except Exception:  # noqa: BLE001 - the error's own __str__ runs here
        return "<unprintable>"
