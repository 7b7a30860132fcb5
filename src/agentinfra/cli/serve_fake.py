"""Serve OpenAI's API on this machine, without a model, until Ctrl-C."""

from __future__ import annotations

import argparse

from agentinfra.cli.numbers import whole
from agentinfra.cli.running import run_async

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "serve OpenAI's API without a model, to develop and test against"
EPILOG = """\
example:
  agentinfra serve-fake --port 8123
  OPENAI_BASE_URL=http://127.0.0.1:8123/v1 OPENAI_API_KEY=any python my_agent.py"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument(
        "--port",
        type=whole("a port", least=0, most=65_535),
        default=0,
        help="the port; 0, the default: a free one",
    )
    parser.add_argument("--api-key", help="the only key let in; none lets everybody in")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    return run_async(lambda _: _serve(args))


async def _serve(args: argparse.Namespace) -> int:
    from agentinfra.testing import serve

    await serve(args.host, args.port, api_key=args.api_key)
    return 0
