"""Asking the demo's team one question after the other, and showing what comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from agentinfra.cli.failing import complain, said
from agentinfra.errors import AgentInfraError

if TYPE_CHECKING:
    from agentinfra.cli.running import Interrupts
    from agentinfra.demo.answer import Answer
    from agentinfra.demo.team import Team

__all__ = ["JsonLines", "Shown", "ask_all"]


class Shown(Protocol):
    """Shows questions and their answers, one at a time."""

    def begin(self, question: str, *, echo: bool) -> None:
        """Start with a question."""
        ...

    def step(self, node: str) -> None:
        """Say what is going on."""
        ...

    def word(self, text: str) -> None:
        """Show a piece of the answer."""
        ...

    def end(self, answer: Answer) -> None:
        """Show the rest."""
        ...

    def stop(self) -> None:
        """Leave the line clean."""
        ...


class JsonLines:
    """Prints each answer as one line of JSON, and nothing else."""

    def begin(self, question: str, *, echo: bool) -> None:
        """Print nothing."""

    def step(self, node: str) -> None:
        """Print nothing."""

    def word(self, text: str) -> None:
        """Print nothing."""

    def end(self, answer: Answer) -> None:
        """Print the answer."""
        print(json.dumps(answer.as_json(), ensure_ascii=False), flush=True)

    def stop(self) -> None:
        """Print nothing."""


async def ask_all(
    team: Team,
    questions: AsyncIterator[str],
    shown: Shown,
    *,
    thread: str,
    interrupts: Interrupts | None,
    echo: bool,
) -> int:
    """Ask each question, and return how many were not answered, for whatever reason.

    Args:
        team: Who answers.
        questions: What is asked.
        shown: Where to.
        thread: The conversation.
        interrupts: Given, Ctrl-C cancels the running question only.
        echo: Show the questions too.
    """
    failed = 0
    async for question in questions:
        shown.begin(question, echo=echo)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_ask(team, question, shown, thread))
            if interrupts is not None:
                with interrupts.cancelling(task):
                    await asyncio.wait({task})
        if task.cancelled():
            shown.stop()
            complain("the question was cancelled")
        else:
            failed += not task.result()
    return failed


async def _ask(team: Team, question: str, shown: Shown, thread: str) -> bool:
    try:
        answer = await team.ask(question, thread_id=thread, word=shown.word, step=shown.step)
    except AgentInfraError as error:
        shown.stop()
        complain(f"no answer to {question!r}: {said(error)}")
        return False
    shown.end(answer)
    return answer.answered
