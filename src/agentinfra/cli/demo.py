"""Ask a team of agents about a shop's sales and about documents.

A router chooses between an agent that writes SQL and one that searches documents. Everything they
use comes from one InfraRuntime: the model, the database, the vectors, the caches, the
checkpoints, the traces.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agentinfra.cli.asking import JsonLines, Shown, ask_all
from agentinfra.cli.configuring import settings_for
from agentinfra.cli.failing import complain
from agentinfra.cli.questions import listed, typed
from agentinfra.cli.running import run_async

if TYPE_CHECKING:
    from agentinfra.cli.running import Interrupts
    from agentinfra.demo.team import Team
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "ask a team of agents about a shop's sales and about documents"
EPILOG = """\
examples:
  agentinfra demo --ask "Which category brought in the most revenue in 2025?"
  agentinfra demo --docs ./handbook --file questions.txt --json
  agentinfra demo --thread 3f9a2c1b        (goes on with a conversation)

With OPENAI_API_KEY or OPENAI_BASE_URL that model answers; without, a local stand-in does.
Typed questions end with an empty line or Ctrl-D; Ctrl-C cancels the one that is running."""

_STAND_IN = "stand-in"
_NAMED = 20
"""Files that are left out are named up to this many."""

_TRACED = {"tracing": {"enabled": True}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--ask", action="append", default=[], metavar="QUESTION", help="a question; repeatable"
    )
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="a file of questions, one on each line"
    )
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FOLDER",
        help="documents (Markdown, HTML, PDF, texts) to answer from; default: this project's own",
    )
    parser.add_argument(
        "--thread", metavar="ID", help="the conversation to go on with; default: a new one"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each question"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; 1 where a question could not be answered."""
    return run_async(lambda interrupts: _show(args, interrupts))


async def _show(args: argparse.Namespace, interrupts: Interrupts) -> int:
    questions = listed(args.ask, args.file)
    given = bool(args.ask or args.file)
    thread = args.thread or secrets.token_hex(4)
    async with _team(args) as team:
        shown: Shown = JsonLines() if args.json else _screen(team, thread, quiet=given)
        failed = await ask_all(
            team,
            _each(questions) if given else typed(prompt=_prompt(args)),
            shown,
            thread=thread,
            interrupts=None if given else interrupts,
            echo=given or not _is_typed(),
        )
    return 1 if failed else 0


@asynccontextmanager
async def _team(args: argparse.Namespace) -> AsyncIterator[Team]:
    """Open everything, and say in a line each what is less than it should be."""
    from agentinfra.demo.documents import default_folder, read_folder
    from agentinfra.demo.progress import Progress
    from agentinfra.demo.standin import CAVEAT
    from agentinfra.demo.team import Team
    from agentinfra.runtime import InfraRuntime

    # Before anything is started: most mistakes are made in naming something. What is less than it
    # should be is said by the team's notices.
    settings = settings_for(args, level="error", **_TRACED)
    folder = (args.docs or default_folder()).absolute()
    skipped: list[str] = []
    documents = await asyncio.to_thread(read_folder, folder, skipped.append)
    for file in skipped[:_NAMED]:
        complain(f"skipped {file}")
    if len(skipped) > _NAMED:
        complain(f"skipped {len(skipped) - _NAMED} more files")
    async with AsyncExitStack() as stack:
        with Progress() as progress:
            origin = f"{settings.llm.model} at {settings.llm.base_url or 'OpenAI'}"
            caveat = ""
            if settings.llm.enabled and not settings.llm.configured:
                origin, caveat = f"a {_STAND_IN}", CAVEAT
                settings = await _with_stand_in(settings, stack)
            rt = await stack.enter_async_context(InfraRuntime(settings))
            team = await Team.gather(
                rt,
                documents,
                folder=str(folder),
                origin=origin,
                caveat=caveat,
                progress=progress,
            )
        for notice in team.notices:
            complain(notice)
        yield team


async def _with_stand_in(settings: Settings, stack: AsyncExitStack) -> Settings:
    from agentinfra.demo.standin import CAVEAT, stand_in
    from agentinfra.testing import OpenAIServer

    server = await stack.enter_async_context(OpenAIServer(default=stand_in))
    complain(f"no OPENAI_API_KEY: {CAVEAT}")
    return settings.with_changes(
        # No model's name: what it says has no price, and its vectors are nobody else's.
        llm={
            "base_url": server.base_url,
            "api_key": _STAND_IN,
            "model": _STAND_IN,
            "embedding_model": _STAND_IN,
        },
        # Its vectors and answers must not be taken for a model's, in a Redis that others use.
        cache={"namespace": f"{settings.cache.namespace}-{_STAND_IN}"},
    )


def _screen(team: Team, thread: str, *, quiet: bool) -> Shown:
    from agentinfra.demo.rendering import Screen, open_console

    console = open_console()
    if not quiet:
        lines = (team.described, f"conversation {thread}; an empty line ends it", "")
        console.print("\n".join(lines), style="dim", markup=False)
    return Screen(console)


def _prompt(args: argparse.Namespace) -> Callable[[], None]:
    shows = _is_typed() and not args.json

    def prompt() -> None:
        if shows:
            print("> ", end="", file=sys.stderr, flush=True)

    return prompt


def _is_typed() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


async def _each(questions: list[str]) -> AsyncIterator[str]:
    for question in questions:
        yield question
