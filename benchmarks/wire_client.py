"""One client under measurement, in a process of its own.

``python -m benchmarks.wire_client NAME URL`` reads one JSON object a line (``task``, ``seconds``,
``calls``, ``concurrency``, ``messages``) and answers each with CPU seconds, wall seconds and
latencies of calls made for so long, and no fewer than so many; the task ``hold`` makes its calls at
once and is answered with what they took of memory. It imports nothing of agentinfra unless it
measures it, so that it also runs in other environments.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from functools import cache

MODEL = "gpt-4o-mini"
CONVERSATION = [
    {"role": "user" if i % 2 == 0 else "assistant", "content": f"message {i} " + "and more " * 20}
    for i in range(20)
]
HELD = [{"role": "user", "content": "hold " + "and more " * 20}]
TEXTS = [f"text number {i} that wants to be embedded" for i in range(64)]


class Raw:
    """aiohttp and orjson, no features."""

    async def open(self, url):
        import aiohttp
        import orjson

        self.url, self.loads, self.dumps = url, orjson.loads, orjson.dumps
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        return {"aiohttp": aiohttp.__version__, "orjson": orjson.__version__}

    async def chat(self, messages):
        body = self.dumps({"model": MODEL, "messages": messages, "max_tokens": 200})
        headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        url = f"{self.url}/chat/completions"
        async with self.session.post(url, data=body, headers=headers) as response:
            answer = self.loads(await response.read())
        return answer["choices"][0]["message"]["content"]


class Sdk:
    """The openai package as it comes."""

    http = None

    async def open(self, url):
        import openai

        more = {"http_client": openai.DefaultAioHttpClient()} if self.http == "aiohttp" else {}
        self.client = openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0, **more)
        return {"openai": openai.__version__}

    async def chat(self, messages):
        answer = await self.client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=200
        )
        return answer.choices[0].message.content

    async def stream(self, messages):
        text = ""
        stream = await self.client.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                text += chunk.choices[0].delta.content
        return text

    async def respond(self, messages):
        answer = await self.client.responses.create(
            model=MODEL, input=messages, max_output_tokens=200
        )
        return answer.output_text

    async def respond_stream(self, messages):
        text = ""
        stream = await self.client.responses.create(model=MODEL, input=messages, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        return text

    async def structured(self, messages):
        answer = await self.client.chat.completions.parse(
            model=MODEL, messages=messages, response_format=_reading()
        )
        return answer.choices[0].message.parsed

    async def embed(self, texts):
        import numpy as np

        answer = await self.client.embeddings.create(model="text-embedding-3-small", input=texts)
        return np.array([item.embedding for item in answer.data], dtype=np.float32)


class SdkAiohttp(Sdk):
    """The openai package on aiohttp."""

    http = "aiohttp"


class Ours:
    """rt.llm with everything on: retry policy, deadline, pace, budget, cost, metrics, span, log."""

    transport = "direct"
    observed = True
    budgeted = True

    def tracing(self, _url):
        return {"exporter": "none"}

    def database(self):
        return {"enabled": False}

    async def open(self, url):
        import os

        import agentinfra
        from agentinfra import InfraRuntime, Settings

        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - log lines are written, and read by nobody
        self.rt = InfraRuntime(
            Settings(
                llm={"base_url": url, "api_key": "x", "transport": self.transport},
                database=self.database(),
                checkpointer={"enabled": False},
                cache={"enabled": False},
                logging={"json_output": True, "enabled": self.observed},
                metrics={"enabled": self.observed},
                tracing={"enabled": self.observed, **self.tracing(url)},
            )
        )
        await self.rt.__aenter__()
        if self.budgeted:
            await self.rt.llm.budget(usd=1_000_000, name="bench").__aenter__()
        return {"agentinfra": agentinfra.__version__}

    async def chat(self, messages):
        return (await self.rt.llm.chat_completion(messages, max_tokens=200, deadline=60.0)).text

    async def stream(self, messages):
        text = ""
        async with await self.rt.llm.chat_completion(messages, stream=True) as stream:
            async for chunk in stream:
                text += chunk.text
        return text

    async def respond(self, messages):
        # A parameter that only the Responses API has sends the call there.
        options = {"max_tokens": 200, "deadline": 60.0, "instructions": "Be brief."}
        return (await self.rt.llm.chat_completion(messages, **options)).text

    async def respond_stream(self, messages):
        text = ""
        options = {"stream": True, "instructions": "Be brief."}
        async with await self.rt.llm.chat_completion(messages, **options) as stream:
            async for chunk in stream:
                text += chunk.text
        return text

    async def structured(self, messages):
        return await self.rt.llm.structured(messages, _reading())

    async def embed(self, texts):
        return (await self.rt.llm.get_embeddings(texts)).vectors


class OursShared(Ours):
    """rt.llm under an account of all processes on a database."""

    budgeted = False

    def database(self):
        import os

        return {"url": os.environ["BENCHMARK_DATABASE"]}

    async def open(self, url):
        found = await super().open(url)
        await self.rt.budgets.of("bench", usd=1_000_000, per="run").__aenter__()
        return found


class OursQuiet(Ours):
    """rt.llm with metrics, tracing and logging off."""

    observed = False


class OursExporting(Ours):
    """rt.llm whose spans are sent to a collector."""

    def tracing(self, url):
        return {"exporter": "otlp-http", "endpoint": url.removesuffix("/v1")}


class OursSdk(Ours):
    """rt.llm through the openai package's own path."""

    transport = "sdk"


class OursWire:
    """The direct wire of rt.llm and its codec alone: the least a call of ours can cost."""

    async def open(self, url):
        from agentinfra.llm.dialects.chat.reading import read_chat
        from agentinfra.llm.dialects.encoding import encode
        from agentinfra.llm.wire.direct import open_direct
        from agentinfra.llm.wire.sdk import open_client, trusted_certificates
        from agentinfra.settings import LLMSettings

        tls = trusted_certificates()
        client = open_client(url, tls=tls, connect_timeout=5.0, proxies=False)
        self.wire = open_direct(
            client,
            LLMSettings(),
            {"Authorization": "Bearer x"},
            tls=tls,
            max_connections=1000,
            connect_timeout=5.0,
        )
        self.url, self.encode, self.read = url, encode, read_chat
        return {}

    async def chat(self, messages):
        body = self.encode({"model": MODEL, "messages": messages, "max_tokens": 200})
        reply = await self.wire.send(f"{self.url}/chat/completions", body, headers={})
        return self.read(reply.body, reply.headers).text


class LangChain:
    """langchain-openai."""

    async def open(self, url):
        from importlib.metadata import version

        from langchain_openai import ChatOpenAI

        self.model = ChatOpenAI(
            model=MODEL, base_url=url, api_key="x", max_retries=0, max_tokens=200
        )
        self.reader = self.model.with_structured_output(_reading())
        return {"langchain-openai": f"{version('langchain-openai')} (openai {version('openai')})"}

    async def chat(self, messages):
        return (await self.model.ainvoke(messages)).content

    async def structured(self, messages):
        return await self.reader.ainvoke(messages)


class LiteLLM:
    """litellm, without its callbacks and with its aiohttp transport."""

    async def open(self, url):
        from importlib.metadata import version

        import litellm

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        self.litellm, self.url = litellm, url
        return {"litellm": f"{version('litellm')} (openai {version('openai')})"}

    async def chat(self, messages):
        answer = await self.litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=messages,
            api_base=self.url,
            api_key="x",
            max_tokens=200,
            num_retries=0,
        )
        return answer.choices[0].message.content

    async def stream(self, messages):
        text = ""
        stream = await self.litellm.acompletion(
            model=f"openai/{MODEL}", messages=messages, api_base=self.url, api_key="x", stream=True
        )
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return text


class Instructor:
    """instructor on the openai package."""

    async def open(self, url):
        from importlib.metadata import version

        import instructor
        import openai

        client = openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0)
        self.client = instructor.from_openai(client)
        return {"instructor": f"{version('instructor')} (openai {version('openai')})"}

    async def chat(self, messages):
        answer = await self.client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=200, response_model=None
        )
        return answer.choices[0].message.content

    async def structured(self, messages):
        return await self.client.chat.completions.create(
            model=MODEL, messages=messages, response_model=_reading(), max_retries=1
        )


class PydanticAI:
    """pydantic-ai's Agent.run."""

    async def open(self, url):
        from importlib.metadata import version

        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        provider = OpenAIProvider(base_url=url, api_key="x")
        model = OpenAIChatModel(MODEL, provider=provider)
        self.agent = Agent(model)
        self.reader = Agent(model, output_type=_reading())
        return {"pydantic-ai": f"{version('pydantic-ai-slim')} (openai {version('openai')})"}

    async def chat(self, messages):
        return (await self.agent.run(messages[-1]["content"])).output

    async def structured(self, messages):
        return (await self.reader.run(messages[-1]["content"])).output


@cache
def _reading():
    from pydantic import BaseModel

    class Reading(BaseModel):
        """A temperature somewhere."""

        city: str
        celsius: float

    return Reading


CLIENTS = {
    "raw aiohttp": Raw,
    "openai": Sdk,
    "openai on aiohttp": SdkAiohttp,
    "agentinfra": Ours,
    "agentinfra, shared account": OursShared,
    "agentinfra, observation off": OursQuiet,
    "agentinfra, spans exported": OursExporting,
    "agentinfra, transport sdk": OursSdk,
    "agentinfra, wire alone": OursWire,
    "instructor": Instructor,
    "langchain-openai": LangChain,
    "litellm": LiteLLM,
    "pydantic-ai": PydanticAI,
}


async def _measure(client, order):
    task = getattr(client, order["task"])
    given = TEXTS if order["task"] == "embed" else CONVERSATION[-order["messages"] :]
    made = 0
    latencies = []

    async def worker():
        nonlocal made
        while made < order["calls"] or time.perf_counter() < end:
            made += 1
            began = time.perf_counter()
            answer = await task(given)
            latencies.append(time.perf_counter() - began)
            assert answer.celsius == 3.5 if order["task"] == "structured" else len(answer) >= 64

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    end = began + order["seconds"]
    async with asyncio.TaskGroup() as group:
        for _ in range(order["concurrency"]):
            group.create_task(worker())
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    latencies.sort()
    return {
        "cpu": cpu / made,
        "wall": wall / made,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[int(len(latencies) * 0.99)],
        "rss": after.ru_maxrss,
    }


async def _hold(client, order):
    """Make calls at once to a server that holds them; return the memory they took."""
    gc.collect()
    before = most = _rss()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(client.chat(HELD)) for _ in range(order["calls"])]
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.02)
            most = max(most, _rss())
    return {"bytes": (most - before) / order["calls"]}


def _rss():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most there ever was, in KiB there
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def _main(name, url):
    loop = asyncio.get_running_loop()
    client = CLIENTS[name]()
    versions = await client.open(url)
    print(json.dumps(versions), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        measure = _hold if order["task"] == "hold" else _measure
        print(json.dumps(await measure(client, order)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
