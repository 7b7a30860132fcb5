"""Puts an agent through everything that goes wrong between it and a model."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from agentinfra.errors import ConfigurationError
from agentinfra.testing import faults
from agentinfra.testing.leaks import LeakCheck
from agentinfra.testing.zoo import NAMES

if TYPE_CHECKING:
    from agentinfra.testing.faults import Fault

__all__ = ["FAULTS", "STREAM_FAULTS", "WRONGS", "ZOO", "Outcome", "Resilience", "assert_resilient"]

Agent: TypeAlias = "Callable[[str], Awaitable[Any]]"
Verdict: TypeAlias = Literal["answered", "typed error", "untyped error", "hung"]

FAULTS: Final[Mapping[str, Callable[[], Fault]]] = {
    "nothing": lambda: faults.slow(),
    "rate limited": lambda: faults.rate_limited(retry_after=0.01),
    "quota exceeded": lambda: faults.quota_exceeded(),
    "server error": lambda: faults.server_error(),
    "overloaded": lambda: faults.server_error(503, retry_after=0.01),
    "unauthorized": lambda: faults.unauthorized(),
    "context too long": lambda: faults.context_length(),
    "content filter": lambda: faults.content_filter(),
    "a page of HTML": lambda: faults.html_body(),
    "silence": lambda: faults.hang(),
    "no headers": lambda: faults.disconnect_before_headers(),
    "half a body": lambda: faults.disconnect_mid_body(),
    "malformed body": lambda: faults.malformed_body(),
    "wrong content type": lambda: faults.wrong_content_type(),
    "no usage": lambda: faults.missing_usage(),
    "no choices": lambda: faults.empty_choices(),
    "filtered answer": lambda: faults.filtered_answer(),
}
"""What one request meets, by the name shown in the table; a stream meets the same."""

STREAM_FAULTS: Final[Mapping[str, Callable[[], Fault]]] = {
    "a stream cut short": lambda: faults.truncated_stream(_MIDDLE),
    "a stream broken off": lambda: faults.disconnect_mid_stream(_MIDDLE),
    "a stream that stalls": lambda: faults.stalled_stream(_MIDDLE),
    "a malformed chunk": lambda: faults.malformed_chunk(_MIDDLE),
    "an error in a stream": lambda: faults.error_event_in_stream(_MIDDLE),
}
"""What only a stream can meet."""

ZOO: Final = tuple(name for name in NAMES if name != "openai")
"""The servers whose manners an agent meets, each without a fault."""

_MIDDLE = 2

WRONGS: Final = (
    "half an answer",
    "untyped error",
    "hung",
    "leaked",
    "paid twice",
    "retried too often",
)
"""What can be wrong with an outcome."""

_USABLE = frozenset(("nothing", "no usage", "wrong content type", "filtered answer"))
"""Faults that leave an answer whole: whoever asks again pays for it again."""

_PATIENCE = 10.0
_GRACE = 1.0
"""Seconds for what is ending, on a machine that is busy with other things too."""

_RETRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an agent that met one fault.

    Attributes:
        fault: The fault.
        verdict: How it ended.
        error: The error's class, empty where there was none.
        requests: How many requests it sent.
        paid: How many of them were answered with 200, which is what is paid for.
        whole: How many of those answers could be used.
        leaked: What it left behind.
        answer: What the agent returned, where that is a text.
        faults: What is wrong with it, of `WRONGS`.
    """

    fault: str
    verdict: Verdict
    error: str
    requests: int
    paid: int
    whole: int
    leaked: tuple[str, ...]
    answer: str | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resilience:
    """The outcomes, one a fault; as text a table in Markdown, and below it what was left."""

    outcomes: tuple[Outcome, ...]

    @property
    def wrong(self) -> tuple[Outcome, ...]:
        """The outcomes with something wrong."""
        return tuple(outcome for outcome in self.outcomes if outcome.faults)

    def counts(self) -> dict[str, int]:
        """Return how many were ``answered``, ended in a ``typed error``, and each of `WRONGS`."""
        found = Counter(outcome.verdict for outcome in self.outcomes)
        wrong = Counter(fault for outcome in self.outcomes for fault in outcome.faults)
        return {
            "answered": found["answered"],
            "typed error": found["typed error"],
            **{name: wrong[name] for name in WRONGS},
        }

    def __str__(self) -> str:
        lines = ["| fault | outcome | requests | paid | wrong |", "|---|---|---|---|---|"]
        for o in self.outcomes:
            said = f"{o.verdict} {o.error}".strip()
            wrong = ", ".join(o.faults)
            lines.append(f"| {o.fault} | {said} | {o.requests} | {o.paid} | {wrong} |")
        left = [f"{o.fault} left {leak}" for o in self.outcomes for leak in o.leaked]
        return "\n".join([*lines, *([""] if left else []), *left])


async def assert_resilient(
    agent: Agent,
    *,
    matrix: Mapping[str, Callable[[], Fault]] | None = None,
    zoo: Collection[str] = ZOO,
    typed: tuple[type[BaseException], ...] = (),
    patience: float = _PATIENCE,
    retries: int = _RETRIES,
    raises: bool = True,
) -> Resilience:
    """Run an agent once for each fault, which its first request meets, and judge what it does.

    Then it meets, without a fault, each server of the zoo, with fields, events and refusals of
    its own. An agent that asks for streams meets the faults of streams besides.

    It may use whatever client; one of its own for each run, which it closes. It has to answer or
    to raise an error that says what happened (no bare ``KeyError`` or ``JSONDecodeError``) within
    ``patience``; to send no more than ``retries`` requests more than without a fault; to ask for
    no answer again that it has got; and to leave nothing behind. One that returns the text of its
    answer must not return the beginning of it for the whole, or nothing.

    Args:
        agent: Called with the base URL of a server; returns when it is done, its answer's text if
            it likes.
        matrix: The faults, each by its name; None: `FAULTS`, and `STREAM_FAULTS` for streams.
        zoo: The servers, by their names in `agentinfra.testing.zoo`.
        typed: Errors that count as typed besides those a package defines for itself.
        patience: Seconds a run may take; the agent's own time-outs have to be shorter.
        retries: Requests more than the agent sends without a fault.
        raises: Whether to raise where something is wrong; False only returns the table.

    Returns:
        The table.

    Raises:
        AssertionError: Something is wrong; the message is the table.
        ConfigurationError: There is no such server in the zoo, or the agent is none: it is not
            async, or does without the server.
    """
    run = _Run(agent, typed, patience)
    usual = await run.met("no fault")
    if usual.verdict == "answered" and not usual.requests:
        raise ConfigurationError(
            f"{agent!r} sent no request to the base URL it was given: its client has to use it"
        )
    if matrix is None:
        matrix = {**FAULTS, **STREAM_FAULTS} if run.streams else FAULTS
    outcomes = [await run.met(name, fault=make) for name, make in matrix.items()]
    outcomes += [await run.met(f"as {name}", like=name) for name in zoo]
    table = Resilience(tuple(_judged(outcome, usual, retries) for outcome in outcomes))
    if raises and table.wrong:
        raise AssertionError(f"{len(table.wrong)} of {len(outcomes)} faults end badly:\n{table}")
    return table


class _Run:
    """Runs one agent again and again, each time against a server of its own.

    Attributes:
        streams: Whether the agent has asked for a stream.
    """

    def __init__(
        self, agent: Agent, typed: tuple[type[BaseException], ...], patience: float
    ) -> None:
        self.streams = False
        self._agent = agent
        self._typed = typed
        self._patience = patience

    async def met(
        self, name: str, *, fault: Callable[[], Fault] | None = None, like: str = "openai"
    ) -> Outcome:
        """Return what becomes of the agent where its first request meets a fault."""
        from agentinfra.testing.server import OpenAIServer

        async with OpenAIServer(like=like) as server:
            if fault is not None:
                server.fail(fault())
            check = LeakCheck(grace=_GRACE)
            check.start()
            try:
                verdict, error, answer = await _ended(
                    self._agent, server.base_url, self._typed, self._patience
                )
                await check.settle()
                leaked = tuple(check.leaks())
            finally:
                check.stop()
            records = server.ledger.requests
            server.clear()  # an agent that never met the fault is judged by the table
        self.streams = self.streams or any(record.stream for record in records)
        paid = [record for record in records if record.status == 200 and record.finished]
        return Outcome(
            fault=name,
            verdict=verdict,
            error=error,
            requests=len(records),
            paid=len(paid),
            whole=sum(record.fault is None or name in _USABLE for record in paid),
            leaked=leaked,
            answer=answer,
            faults=(),
        )


async def _ended(
    agent: Agent, url: str, typed: tuple[type[BaseException], ...], patience: float
) -> tuple[Verdict, str, str | None]:
    asked = agent(url)
    if not inspect.isawaitable(asked):
        raise ConfigurationError(
            f"{agent!r} returned {type(asked).__name__} at once: give assert_resilient an async "
            "function that takes a base URL"
        )
    task = asyncio.ensure_future(asked)
    done, _ = await asyncio.wait({task}, timeout=patience)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        return "hung", "", None
    error = task.exception()
    if error is None:
        answer = task.result()
        return "answered", "", answer if isinstance(answer, str) else None
    plain = type(error).__module__ in ("builtins", "json.decoder") and not isinstance(error, typed)
    spoken = isinstance(error, builtins.TimeoutError)
    verdict: Verdict = "untyped error" if plain and not spoken else "typed error"
    return verdict, type(error).__name__, None


def _judged(outcome: Outcome, usual: Outcome, retries: int) -> Outcome:
    wrong: list[str] = []
    if _is_half(outcome.answer, usual.answer):
        wrong.append("half an answer")
    if outcome.verdict in ("hung", "untyped error"):
        wrong.append(outcome.verdict)
    if outcome.leaked:
        wrong.append("leaked")
    if outcome.whole > usual.whole:
        wrong.append("paid twice")
    if outcome.requests > usual.requests + retries:
        wrong.append("retried too often")
    return replace(outcome, faults=tuple(wrong))


def _is_half(answer: str | None, whole: str | None) -> bool:
    """Say whether an answer is the beginning of the whole, which a word of excuse is not."""
    if answer is None or whole is None:
        return False
    return len(answer) < len(whole) and whole.startswith(answer)
