"""Drop aged conversations, and where told to, what lies behind the newest checkpoints of others."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.failing import complain
from agentinfra.cli.numbers import duration, whole
from agentinfra.cli.running import run_async
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra.checkpoint.retention.policies import Policy, PruneResult
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "drop aged conversations, or shorten long ones"
EPILOG = """\
examples:
  agentinfra prune --older-than 30d --dry-run
  agentinfra prune --older-than 30d --keep-last 3
  agentinfra prune --threads 'test-*' --older-than 1d

What is not given is taken from the settings that somebody has set:
AGENTINFRA_CHECKPOINTER__RETENTION_DAYS, __KEEP_LAST, __CHECKPOINT_DAYS and __KEEP_BYTES. Where
nothing says so, nothing is dropped and no conversation is shortened. Graphs may run meanwhile."""

_ALL: Final = 1_000_000_000
_BYTES: Final = 2**60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="AGE",
        help="drop conversations without a checkpoint for so long: 30d, 12h, 2w",
    )
    parser.add_argument(
        "--keep-last",
        type=whole("a number of checkpoints", least=1, most=_ALL),
        metavar="N",
        help="shorten the other conversations to their newest N checkpoints",
    )
    parser.add_argument(
        "--checkpoints-older-than",
        type=duration,
        metavar="AGE",
        help="shorten them to the checkpoints of so long, and the newest",
    )
    parser.add_argument(
        "--keep-bytes",
        type=whole("a number of bytes", least=1, most=_BYTES),
        metavar="N",
        help="shorten them to the newest checkpoints that fit into N bytes",
    )
    parser.add_argument(
        "--threads",
        metavar="PATTERN",
        default="*",
        help="only conversations with such ids; * and ? stand for any characters, and one",
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and drop nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command; 2 where nobody has said what is to be dropped."""
    # Models and caches have no part in it.
    settings = settings_for(args, llm={"enabled": False}, cache={"enabled": False})
    policy = _policy(settings, args)
    if policy is None:
        complain(
            "nothing was pruned, since nothing says what may go: give --older-than 30d or "
            "--keep-last 3, or set AGENTINFRA_CHECKPOINTER__RETENTION_DAYS or "
            "AGENTINFRA_CHECKPOINTER__KEEP_LAST"
        )
        return 2
    return run_async(lambda _: _prune(settings, policy, args))


def _policy(settings: Settings, args: argparse.Namespace) -> Policy | None:
    """Return what is to be dropped, as far as somebody has said so; None where nobody has."""
    from agentinfra.checkpoint.checkpointer import said_by
    from agentinfra.checkpoint.retention.policies import Policy

    said = said_by(settings.checkpointer)
    said |= {name: value for name in said if (value := getattr(args, name)) is not None}
    if all(value is None for value in said.values()):
        return None
    return Policy(threads=args.threads, **said)


async def _prune(settings: Settings, policy: Policy, args: argparse.Namespace) -> int:
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(settings) as rt:
        checkpoints = rt.checkpoints
        if checkpoints.state != "ready" or settings.checkpointer.backend != "postgres":
            reason = checkpoints.reason or "checkpoints are kept in memory"
            raise CheckpointError(f"there is nothing to prune: {reason}")
        result = await checkpoints.prune(policy, dry_run=args.dry_run)
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
        f"{result.writes:,} writes and {result.blobs:,} values: {result.bytes:,} bytes"
    )
