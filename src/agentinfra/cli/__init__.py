"""The command line: a module for each of its commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from agentinfra import __version__
from agentinfra.cli import budgets, demo, doctor, migrate, prices, prune, reseal, serve_fake
from agentinfra.cli.failing import outcome_of

__all__ = ["main"]

_COMMANDS: Final = {
    "demo": demo,
    "doctor": doctor,
    "serve-fake": serve_fake,
    "prune": prune,
    "reseal": reseal,
    "migrate": migrate,
    "prices": prices,
    "budgets": budgets,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 is success, 1 a failure that one line on standard error explains, 2 a wrong usage, 130 an
    interruption by Ctrl-C.

    Args:
        argv: The arguments; None takes those of the process.
    """
    given = sys.argv[1:] if argv is None else argv
    return outcome_of(lambda: _run(given), debug="--debug" in given)


def _run(argv: Sequence[str]) -> int:
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as leaving:  # argparse has said why
        return leaving.code if isinstance(leaving.code, int) else 2
    if args.command is None:
        parser.print_help()
        return 2
    status: int = _COMMANDS[args.command].run(args)
    return status


class _Parser(argparse.ArgumentParser):
    """A parser that does not keep to itself that its help could not be written."""

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse's own passes over errors of writing, and ends with status 0.
        stream = sys.stderr if file is None else file
        if message and stream is not None:
            stream.write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="agentinfra",
        description="The infrastructure layer of async LLM agents: one runtime, every resource.",
        epilog="Settings come from the environment and from .env: see .env.example.",
    )
    parser.add_argument("--version", action="version", version=f"agentinfra {__version__}")
    _add_common(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in _COMMANDS.items():
        described = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=described.partition("\n")[0],
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        # Given after the command too; what was given before it must not be reset.
        _add_common(command, default=argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show tracebacks of failures"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="log from level info on"
    )
