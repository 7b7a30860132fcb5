"""Call servers that others wrote: chat, streams, tools, embeddings, and the faults they can play.

``python tests/interop/run.py`` installs them into a temporary folder (npm and pip are needed),
starts each, runs the checks over both transports, prints a table, and exits with 0 when all hold.
``--only NAME`` runs one server, ``--keep FOLDER`` keeps what was installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import random_model

from agentinfra import AsyncLLMClient, LLMError, LLMStreamInterruptedError, Settings

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "title": "get_weather",
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
}
FIXTURES = {
    "fixtures": [
        {
            "match": {"toolName": "get_weather"},
            "response": {"toolCalls": [{"name": "get_weather", "arguments": {"location": "Rome"}}]},
        },
        {"match": {"userMessage": "hello"}, "response": {"content": "Hello! How can I help you?"}},
    ]
}
Check = Callable[[AsyncLLMClient], Awaitable[None]]


async def chat(llm: AsyncLLMClient) -> None:
    """Get a whole answer with its usage."""
    reply = await llm.chat_completion(HELLO, max_tokens=16)
    assert reply.text
    assert reply.finish_reason in ("stop", "length")
    assert reply.raw.choices[0].message.content == reply.text


async def stream(llm: AsyncLLMClient) -> None:
    """Get the same in pieces."""
    async with await llm.chat_completion(HELLO, stream=True, max_tokens=16) as pieces:
        texts = [piece.text async for piece in pieces]
    reply = await pieces.response()
    assert "".join(texts) == reply.text
    assert reply.finish_reason in ("stop", "length")


async def tools(llm: AsyncLLMClient) -> None:
    """Get arguments, by whatever mode the server knows."""
    reply = await llm.chat_completion_with_tools(HELLO, [WEATHER], max_tokens=64)
    assert isinstance(reply.parsed["location"], str)


async def embeddings(llm: AsyncLLMClient) -> None:
    """Get one vector for each text."""
    batch = await llm.get_embeddings(["a", "b"])
    assert len(batch.vectors) == 2


def typed(check: Check) -> Check:
    """Return a check that the same works, or ends in an error of ours."""

    async def either(llm: AsyncLLMClient) -> None:
        with suppress(LLMError):
            await check(llm)

    either.__name__ = f"{check.__name__} or a typed error"
    return either


def fails(*kinds: str, streamed: bool = False) -> Check:
    """Return a check that a call ends in one of these errors."""

    async def check(llm: AsyncLLMClient) -> None:
        try:
            reply = await llm.chat_completion(HELLO, stream=streamed)
            if streamed:
                await reply.response()
        except LLMError as error:
            cause = error.__cause__ if isinstance(error, LLMStreamInterruptedError) else error
            assert {type(error).__name__, type(cause).__name__} & set(kinds), repr(error)
        else:
            raise AssertionError("no error")

    check.__name__ = f"{'stream ' if streamed else ''}{kinds[0]}"
    return check


CHAOS: dict[str, tuple[Check, ...]] = {
    "drop": (fails("ServerError"), fails("ServerError", streamed=True)),
    "malformed": (fails("LLMResponseError"), fails("LLMResponseError", streamed=True)),
    "disconnect": (fails("LLMConnectionError"), fails("LLMConnectionError", streamed=True)),
    "ratelimit": (fails("RateLimitedError"), fails("RateLimitedError", streamed=True)),
}


@contextmanager
def running(*command: str, port: int, cwd: Path) -> Iterator[str]:
    """Start a server, wait until its port answers, end it."""
    with (cwd / f"{port}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start: see {log.name}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(10)


def free_port() -> int:
    """Return a port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def aimock(home: Path) -> Iterator[tuple[str, str, tuple[Check, ...]]]:
    """Give the npm mock, well and with each of its faults always on."""
    if not (home / "node_modules").is_dir():
        subprocess.run(["npm", "install", "--silent", "@copilotkit/aimock"], cwd=home, check=True)
    (home / "fixtures.json").write_text(json.dumps(FIXTURES))
    command = [str(home / "node_modules/.bin/llmock"), "-f", "fixtures.json"]
    cases = {"": (chat, stream, tools, embeddings), **CHAOS}
    for chaos, checks in cases.items():
        port = free_port()
        more = [f"--chaos-{chaos}", "1"] if chaos else []
        with running(*command, "-p", str(port), *more, port=port, cwd=home) as url:
            yield f"aimock {chaos}".strip(), url, checks


def llama(home: Path) -> Iterator[tuple[str, str, tuple[Check, ...]]]:
    """Give llama.cpp's server with a tiny model of random weights: real tokens, no sense."""
    python = home / "llama" / "bin" / "python"
    if not python.exists():
        venv.create(home / "llama", with_pip=True)
        wanted = ["llama-cpp-python[server]", "gguf"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    model = home / "random.gguf"
    subprocess.run([python, random_model.__file__, model], check=True)
    port = free_port()
    arguments = ["--model", str(model), "--port", str(port), "--n_ctx", "512", "--embedding", "1"]
    with running(str(python), "-m", "llama_cpp.server", *arguments, port=port, cwd=home) as url:
        yield "llama.cpp", url, (chat, stream, typed(tools), typed(embeddings))


SERVERS = {"aimock": aimock, "llama": llama}


async def run_checks(url: str, transport: str, checks: tuple[Check, ...]) -> list[str]:
    """Run checks against one server; return what failed."""
    settings = Settings(
        llm={"base_url": url, "api_key": "x", "transport": transport, "max_attempts": 1},
    ).llm
    failed = []
    async with AsyncLLMClient(settings) as client:
        for check in checks:
            try:
                await check(client)
            except Exception as error:  # noqa: BLE001 - shown in the table
                failed.append(f"{check.__name__}: {type(error).__name__}: {error}")
    return failed


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(SERVERS))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    broken = 0
    with ExitStack() as stack:
        home = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        for name, server in SERVERS.items():
            if options.only not in (None, name):
                continue
            for label, url, checks in server(home):
                for transport in ("direct", "sdk"):
                    failed = asyncio.run(run_checks(url, transport, checks))
                    broken += len(failed)
                    names = ", ".join(check.__name__ for check in checks)
                    print(f"{label:18} {transport:7} {names}: {failed or 'all hold'}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
