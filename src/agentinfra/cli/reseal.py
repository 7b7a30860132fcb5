"""Seal what is stored of conversations, and the store's items, under the first of the keys."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.running import run_async
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "seal what is stored under the first key"
EPILOG = """\
examples:
  AGENTINFRA_CHECKPOINTER__ENCRYPTION_KEYS='["new", "old"]' agentinfra reseal

For after a key was put in front, or the first one set: give it to every process first. When the
command has ended, nothing needs the old key any more. Graphs may run meanwhile; what was cut off
is taken up again by the next one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = settings_for(args, llm={"enabled": False}, cache={"enabled": False})
    return run_async(lambda _: _reseal(settings, args))


async def _reseal(settings: Settings, args: argparse.Namespace) -> int:
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(settings) as rt:
        if rt.checkpoints.state != "ready":
            raise CheckpointError(f"there is nothing to seal: {rt.checkpoints.reason}")
        rows = await rt.checkpoints.reseal()
        store = rt.long_term
        items = await store.reseal() if store.state == "ready" and store.seals else 0
    if args.json:
        print(json.dumps({"rows": rows, "items": items}))
    else:
        print(f"sealed {rows:,} rows of conversations and {items:,} items under the first key")
    return 0
