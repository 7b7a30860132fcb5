"""Enter the runtime and say of every resource how it is, and what mends it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.mending import what_mends
from agentinfra.cli.running import run_async
from agentinfra.errors import LLMError

if TYPE_CHECKING:
    from rich.table import Table

    from agentinfra.results import ResourceHealth
    from agentinfra.runtime import InfraRuntime
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "check every resource, and say what mends it"
EPILOG = """\
The exit status is 0 when everything that is switched on works. The model endpoint is asked for
its list of models and sent an empty call that it has to refuse, which costs nothing; with --call
it is also sent one tiny chat request, and its cost is shown."""

_STATES = {"ready": "green", "degraded": "yellow", "failed": "red", "disabled": "dim"}
_QUESTION = "Reply with the one word: ready"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--call", action="store_true", help="send one chat request, which costs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = settings_for(args, level="error")
    return run_async(lambda _: _examine(settings, args))


async def _examine(settings: Settings, args: argparse.Namespace) -> int:
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(settings) as rt:
        rows = list((await rt.health()).resources)
        place = next(place for place, row in enumerate(rows) if row.name == "llm")
        if rt.llm.state == "ready":
            rows[place] = await rt.llm.probe(thorough=True)
            if args.call:
                rows[place] = await _call(rt, rows[place])
        embedded = settings.database.dsn is None
    healthy = all(row.state in ("ready", "disabled") for row in rows)
    if args.json:
        print(json.dumps({"ok": healthy, "resources": [_plain(row, embedded) for row in rows]}))
    else:
        _print(rows, embedded=embedded)
    return 0 if healthy else 1


async def _call(rt: InfraRuntime, row: ResourceHealth) -> ResourceHealth:
    """Send one chat request, and return the model's row with what came of it."""
    try:
        reply = await rt.llm.chat_completion([{"role": "user", "content": _QUESTION}])
    except LLMError as error:
        reason = f"{type(error).__name__}: {error}"
        return replace(row, state="failed", reason=" ".join(reason.split()))
    cost = "price unknown" if reply.cost_usd is None else f"${reply.cost_usd.normalize():f}"
    answered = f"answered, {reply.usage.total_tokens} tokens, {cost}"
    if row.state == "degraded":  # by something that calls do not need
        return replace(row, reason=f"{row.reason}; one call was {answered}")
    return replace(
        row,
        state="ready",
        reason="",
        latency=reply.latency,
        detail=f"{row.detail}; {answered}",
    )


def _plain(row: ResourceHealth, embedded: bool) -> dict[str, Any]:  # noqa: FBT001
    return {**asdict(row), "fix": what_mends(row, embedded=embedded)}


def _print(rows: Sequence[ResourceHealth], *, embedded: bool) -> None:
    from agentinfra.demo.rendering import open_console

    console = open_console()
    console.print(_table(rows))
    console.print()
    fixes = [(row.name, fix) for row in rows if (fix := what_mends(row, embedded=embedded))]
    for name, fix in fixes:
        whole = not console.is_terminal  # a script wants its line in one piece
        console.print(f"to mend {name}: {fix}", markup=False, soft_wrap=whole)
    bad = [row.name for row in rows if row.state in ("degraded", "failed")]
    if bad:
        console.print(f"not as it should be: {', '.join(bad)}", style="yellow")
    else:
        console.print("everything that is switched on works", style="green")


def _table(rows: Sequence[ResourceHealth]) -> Table:
    from rich.markup import escape

    from agentinfra.demo.rendering import plain_table

    table = plain_table()
    table.add_column("resource", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("latency", justify="right", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for row in rows:
        color = _STATES[row.state]
        latency = "" if row.latency is None else f"{row.latency * 1000:.1f} ms"
        state = f"[{color}]{row.state}[/{color}]"
        table.add_row(row.name, state, latency, escape(row.reason or row.detail))
    return table
