"""Drop aged conversations, and what lies behind the newest checkpoints of the others."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.running import run_async
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra.checkpoint.checkpointer import PruneResult
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "duration", "run"]

HELP = "drop aged checkpoints"
EPILOG = """\
examples:
  agentinfra prune --dry-run
  agentinfra prune --older-than 30d --keep-last 3

Without arguments the settings decide: AGENTINFRA_CHECKPOINTER__RETENTION_DAYS and
AGENTINFRA_CHECKPOINTER__KEEP_LAST. Graphs may run meanwhile."""

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="AGE",
        help="drop conversations without a checkpoint for so long: 30d, 12h, 2w",
    )
    parser.add_argument(
        "--keep-last", type=int, metavar="N", help="checkpoints that the others keep"
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and drop nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def duration(text: str) -> float:
    """Return the seconds of a duration such as ``30d``."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 30d, 12h or 2w")
    return float(match[1]) * _UNITS[match[2]]


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    # Models and caches have no part in it.
    settings = settings_for(args, llm={"enabled": False}, cache={"enabled": False})
    return run_async(lambda _: _prune(settings, args))


async def _prune(settings: Settings, args: argparse.Namespace) -> int:
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(settings) as rt:
        checkpoints = rt.checkpoints
        if checkpoints.state != "ready" or settings.checkpointer.backend != "postgres":
            reason = checkpoints.reason or "checkpoints are kept in memory"
            raise CheckpointError(f"there is nothing to prune: {reason}")
        result = await checkpoints.prune(args.older_than, args.keep_last, dry_run=args.dry_run)
    if args.json:
        print(json.dumps({**asdict(result), "dry_run": args.dry_run}))
    else:
        print(_sentence(result, dry_run=args.dry_run))
    return 0


def _sentence(result: PruneResult, *, dry_run: bool) -> str:
    if not result.checkpoints and not result.writes and not result.blobs:
        return "nothing has aged"
    verb = "would drop" if dry_run else "dropped"
    return (
        f"{verb} {result.checkpoints:,} checkpoints of {result.threads:,} conversations, "
        f"{result.writes:,} writes and {result.blobs:,} values"
    )
