"""Call our test server with the clients that others wrote, each in an environment of its own.

``python tests/interop/others.py`` installs them into a temporary folder (npm and pip are needed),
runs each against an ``OpenAIServer``, prints a table of client and endpoint, and exits with 0 when
all hold. ``--only NAME`` runs one client, ``--keep FOLDER`` keeps what was installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentinfra.testing import OpenAIServer, Reply

PROGRAMS = Path(__file__).parent / "clients"
ROME = {"name": "Rome", "population": 3}
COLUMNS = (
    "chat",
    "stream",
    "tools",
    "structured",
    "responses",
    "responses stream",
    "responses tools",
    "responses structured",
    "embeddings",
)


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client, the program that calls with it, and the packages it needs."""

    title: str
    program: str
    packages: tuple[str, ...]


CLIENTS = {
    "openai": Client(title="openai (Python)", program="openai_package.py", packages=("openai",)),
    "openai-npm": Client(title="openai (npm)", program="openai_npm.mjs", packages=("openai",)),
    "langchain": Client(
        title="langchain-openai",
        program="langchain_openai_package.py",
        packages=("langchain-openai",),
    ),
    "pydantic-ai": Client(
        title="pydantic-ai",
        program="pydantic_ai_package.py",
        packages=("pydantic-ai-slim[openai]",),
    ),
    "agents": Client(
        title="openai-agents", program="openai_agents_package.py", packages=("openai-agents",)
    ),
    "litellm": Client(title="litellm", program="litellm_package.py", packages=("litellm",)),
    "instructor": Client(
        title="instructor", program="instructor_package.py", packages=("instructor",)
    ),
    "llama-index": Client(
        title="llama-index (openai-like)",
        program="llama_index_package.py",
        packages=("llama-index-llms-openai-like", "llama-index-embeddings-openai-like"),
    ),
    "ai": Client(
        title="Vercel AI SDK",
        program="vercel_ai_npm.mjs",
        packages=("ai", "@ai-sdk/openai", "zod"),
    ),
}


def answer(body: dict[str, Any]) -> Reply | str:
    """Answer either API: call a tool that fits, fill a format, tell of results, or say hello."""
    turns = body.get("messages") or body["input"]
    turns = turns if isinstance(turns, list) else []
    told = any(t.get("role") == "tool" or "output" in t for t in turns)
    for tool in body.get("tools") or ():
        function = tool.get("function", tool)
        properties = (function.get("parameters") or {}).get("properties", {})
        if "population" in properties:
            return Reply.calling(function["name"], **ROME)
        if "city" in properties and not told:
            return Reply.calling(function["name"], city="Rome")
    form = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    if form.get("type") in ("json_schema", "json_object"):
        return json.dumps(ROME)
    return "It is sunny in Rome." if told else "Hello there!"


def installed(client: Client, home: Path) -> list[str]:
    """Install a client; return the command that runs its program."""
    program = PROGRAMS / client.program
    if program.suffix == ".mjs":
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "node_modules").is_dir():
            (home / "package.json").write_text("{}")
            subprocess.run(["npm", "install", "--silent", *client.packages], cwd=home, check=True)
        # Node looks for packages beside the program.
        for source in PROGRAMS.glob("*.mjs"):
            (home / source.name).write_text(source.read_text())
        return ["node", str(home / client.program)]
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *client.packages], check=True)
    return [str(python), str(program)]


def run(client: Client, home: Path) -> dict[str, str]:
    """Run a client's checks against a server of their own; return what came of each."""
    command = installed(client, home)
    with OpenAIServer(default=answer) as server:
        environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR", "LANG")},
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "x",
        }
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            cwd=home,
        )
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        return dict.fromkeys(COLUMNS[:1], (done.stderr or done.stdout)[-500:])
    found: dict[str, str] = json.loads(last)
    return found


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(CLIENTS))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    wrong = []
    with ExitStack() as stack:
        home = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print(f"| client | {' | '.join(COLUMNS)} |", flush=True)
        print("|---" * (len(COLUMNS) + 1) + "|", flush=True)
        for name, client in CLIENTS.items():
            if options.only not in (None, name):
                continue
            found = run(client, home.absolute() / name)
            cells = [{"ok": "yes", None: "-"}.get(found.get(c), "**no**") for c in COLUMNS]
            print(f"| {client.title} | {' | '.join(cells)} |", flush=True)
            wrong += [f"{name} {what}: {said}" for what, said in found.items() if said != "ok"]
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
