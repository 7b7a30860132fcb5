"""The analytics agent: writes SQL, has it run read-only, and says what the rows mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentinfra.demo.prompts import ANALYTICS, EXPLAIN, RUN_SQL, hand_over
from agentinfra.demo.sales import SalesDatabase
from agentinfra.demo.speaking import speak
from agentinfra.demo.state import State, Update, history
from agentinfra.errors import (
    DatabaseError,
    QueryError,
    ReadOnlyViolationError,
    StatementTimeoutError,
)
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from langgraph.types import StreamWriter

    from agentinfra.demo.library import Library
    from agentinfra.runtime import InfraRuntime

__all__ = ["Analytics"]

NAME = "analytics"

_ATTEMPTS = 2
"""Statements written for one question: the second one knows what was wrong with the first."""

_SHOWN = 50
"""Rows the model is shown of a result."""

_CALL = "call_sql"


class Analytics:
    """Answers from the sales database.

    Args:
        rt: The runtime.
        sales: The shop's tables.
        library: The documents, which others answer from.
    """

    def __init__(self, rt: InfraRuntime, sales: SalesDatabase, library: Library) -> None:
        self._rt = rt
        self._sales = sales
        self._functions = [RUN_SQL, hand_over(library.subjects)]

    async def plan(self, state: State) -> Update:
        """Write a statement, or find that the tables cannot answer."""
        with self._rt.node("plan", agent=NAME):
            if self._sales.unavailable:
                return _out_of_service(state, self._sales.unavailable)
            messages = [
                {"role": "system", "content": ANALYTICS},
                *history(state["turns"]),
                {"role": "user", "content": state["question"]},
                *_refused(state),
            ]
            reply = await self._rt.llm.chat_completion_with_tools(messages, self._functions)
            sql = "" if reply.tool_calls[0].name == "hand_over" else reply.parsed["sql"].strip()
            degraded = [*state["degraded"], *([reply.degraded] if reply.degraded else [])]
            if not sql:
                return {"degraded": degraded, "next": "hand_over"}
            return {
                "degraded": degraded,
                "sql": sql,
                "attempts": state["attempts"] + 1,
                "next": "query",
            }

    async def query(self, state: State) -> Update:
        """Run the statement; one that is refused is written once more."""
        with self._rt.node("query", agent=NAME) as span:
            try:
                result = await self._sales.read(state["sql"])
            except (QueryError, ReadOnlyViolationError, StatementTimeoutError) as error:
                span.event("refused", {"error": str(error)})
                again = state["attempts"] < _ATTEMPTS
                return {"problem": str(error), "next": "plan" if again else "explain"}
            except DatabaseError as error:
                return _out_of_service(state, str(error))
            span.set(semconv.DB_ROWS, len(result.rows))
            return {
                "problem": "",
                "columns": list(result.columns),
                "rows": [dict(row) for row in result.rows],
                "truncated": result.truncated,
                "next": "explain",
            }

    async def explain(self, state: State, writer: StreamWriter) -> Update:
        """Say what the rows mean, as the words come."""
        with self._rt.node("explain", agent=NAME):
            if state["problem"]:
                return _given_up(state)
            messages = [
                {"role": "system", "content": EXPLAIN},
                *history(state["turns"]),
                {"role": "user", "content": state["question"]},
                *_called(state["sql"], _result(state)),
            ]
            reply = await speak(self._rt.llm, messages, writer, tools=[RUN_SQL], tool_choice="none")
            degraded = [*state["degraded"], *([reply.degraded] if reply.degraded else [])]
            return {"answer": reply.text.strip(), "degraded": degraded, "next": "remember"}


def _result(state: State) -> str:
    rows = state["rows"][:_SHOWN]
    more = state["truncated"] or len(state["rows"]) > len(rows)
    return json.dumps({"columns": state["columns"], "rows": rows, "more_rows": more})


def _refused(state: State) -> list[dict[str, Any]]:
    """Return the messages that show the model what was wrong with its statement."""
    if not state["problem"]:
        return []
    return _called(state["sql"], json.dumps({"error": state["problem"]}))


def _called(sql: str, result: str) -> list[dict[str, Any]]:
    function = {"name": "run_sql", "arguments": json.dumps({"sql": sql})}
    call = {"id": _CALL, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": _CALL, "content": result},
    ]


def _given_up(state: State) -> Update:
    return {
        "answer": f"The question could not be put to the database: {state['problem']}",
        "answered": False,
        "degraded": [*state["degraded"], f"no statement was accepted: {state['problem']}"],
        "next": "remember",
    }


def _out_of_service(state: State, reason: str) -> Update:
    return {
        "answer": "The sales database is not available, so I cannot answer this.",
        "answered": False,
        "degraded": [*state["degraded"], f"the sales database is not available: {reason}"],
        "sql": "",
        "next": "remember",
    }
