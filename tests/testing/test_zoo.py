"""The manners of other servers, each as a client meets them."""

from __future__ import annotations

import aiohttp
import orjson
import pytest

from agentinfra.results import Usage
from agentinfra.testing import FunctionCall, OpenAIServer, Reply, faults
from agentinfra.testing.zoo import NAMES, animal

USER = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TWO = Reply(tool_calls=(FunctionCall(name="f", arguments={"a": 1}), FunctionCall(name="g")))
THOUGHTFUL = Reply(text="Paris", reasoning="Let me think")


async def post(server, path="/chat/completions", **body):
    """Return status and parsed body of a request."""
    body = {"model": "m", "messages": [USER], **body} if "chat" in path else {"model": "m", **body}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.base_url}{path}", json=body) as reply,
    ):
        return reply.status, await reply.json(content_type=None), reply.headers


async def stream(server, **body):
    """Return the parsed chunks of a stream, and its bytes."""
    body = {"model": "m", "messages": [USER], "stream": True, **body}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.base_url}/chat/completions", json=body) as reply,
    ):
        raw = await reply.read()
    lines = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: {")]
    return [orjson.loads(line) for line in lines], raw


def deltas(chunks):
    """Return the deltas of the first choices."""
    return [c["choices"][0].get("delta", {}) for c in chunks if c.get("choices")]


async def test_every_animal_answers_and_names_its_sources():
    """Whole and streamed, each gives an answer; each says where its manners are described."""
    for name in NAMES:
        assert animal(name).name == name
        assert all(source.startswith("https://") for source in animal(name).sources)
        async with OpenAIServer(like=name) as server:
            status, body, _ = await post(server)
            assert (status, len(body["choices"])) == (200, 1)
            chunks, raw = await stream(server)
            assert any(delta.get("content") for delta in deltas(chunks))
            assert raw.endswith(b"data: [DONE]\n\n")


async def test_unknown_parameters_are_taken_where_they_are_taken():
    """Servers that know no parameters by type take any, over every API they have."""
    for path, body in (
        ("/chat/completions", {}),
        ("/responses", {"input": "x"}),
        ("/embeddings", {"input": "x"}),
    ):
        async with OpenAIServer(like="vllm") as server:
            assert (await post(server, path, **body, vendor_flag=1))[0] == 200
        async with OpenAIServer() as server:
            assert (await post(server, path, **body, vendor_flag=1))[0] == 400


async def test_azure():
    """Filters stand in each answer, a stream begins without a choice, limits are -1."""
    async with OpenAIServer(like="azure", models=["gpt"]) as server:
        _, body, headers = await post(server, model="gpt")
        assert headers["x-ratelimit-remaining-tokens"] == "-1"
        assert not body["choices"][0]["content_filter_results"]["hate"]["filtered"]
        chunks, _ = await stream(server, model="gpt")
        assert (chunks[0]["choices"], chunks[0]["model"]) == ([], "")
        assert any("delta" not in choice for c in chunks for choice in c["choices"])
        status, body, _ = await post(server, model="other")
        assert (status, body["error"]["code"]) == (404, "DeploymentNotFound")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [TOOL]}, "reasoning_effort"),
        ({"tools": [TOOL], "reasoning_effort": "low"}, "reasoning_effort"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"temperature": 0.5}, "temperature"),
    ],
)
async def test_gpt_56_refuses(change, param):
    """Tools with an effort, max_tokens and a temperature are refused over chat."""
    async with OpenAIServer(like="gpt-5.6") as server:
        status, body, _ = await post(server, **change)
        assert (status, body["error"]["param"]) == (400, param)
        status, _, _ = await post(server, tools=[TOOL], reasoning_effort="none")
        assert status == 200
        assert (await post(server, max_completion_tokens=5, temperature=1))[0] == 200


async def test_openrouter():
    """It says what a call cost, and fails under status 200, in a stream too."""
    async with OpenAIServer(like="openrouter") as server:
        server.script(THOUGHTFUL, Reply(failure="boom"), Reply(text="a b c d", failure="boom"))
        _, body, _ = await post(server)
        assert body["usage"]["cost"] > 0
        assert body["choices"][0]["message"]["reasoning_details"][0]["text"] == "Let me think"
        status, body, _ = await post(server)
        assert (status, body["error"]["code"]) == (200, 502)
        chunks, raw = await stream(server)
        assert raw.startswith(b": OPENROUTER PROCESSING\n\n")
        assert chunks[-1]["error"]["code"] == 502
        assert chunks[-1]["choices"][0]["finish_reason"] == "error"


async def test_gemini():
    """Calls come whole and without an index; the first is signed and has to come back so."""
    async with OpenAIServer(like="gemini") as server:
        server.script(TWO, "fine")
        chunks, _ = await stream(server)
        calls = [call for delta in deltas(chunks) for call in delta.get("tool_calls") or ()]
        assert [call["function"]["arguments"] for call in calls] == ['{"a":1}', "{}"]
        assert not any("index" in call for call in calls)
        assert [bool(call.get("extra_content")) for call in calls] == [True, False]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in calls]
        back = {"role": "assistant", "tool_calls": calls}
        bare = [{k: v for k, v in call.items() if k != "extra_content"} for call in calls]
        status, body, _ = await post(
            server, messages=[USER, {"role": "assistant", "tool_calls": bare}, *results]
        )
        assert status == 400
        assert "thought_signature" in body[0]["error"]["message"]
        assert (await post(server, messages=[USER, back, *results]))[0] == 200
        status, _, _ = await post(server, "/embeddings", input=["x"] * 101)
        assert status == 400
        assert (await post(server, "/responses", input="x"))[0] == 404


async def test_mistral():
    """Content is a list of parts, ids are short, what it does not know is a 422."""
    async with OpenAIServer(like="mistral") as server:
        server.script(THOUGHTFUL, THOUGHTFUL, TWO)
        _, body, _ = await post(server)
        parts = body["choices"][0]["message"]["content"]
        assert [part["type"] for part in parts] == ["thinking", "text"]
        chunks, _ = await stream(server)
        assert isinstance(deltas(chunks)[1]["content"], list)
        assert chunks[-1]["usage"]["total_tokens"] > 0
        _, body, _ = await post(server)
        assert all(len(c["id"]) == 9 for c in body["choices"][0]["message"]["tool_calls"])
        status, body, _ = await post(server, max_completion_tokens=5)
        assert status == 422
        assert body["message"]["detail"][0]["type"] == "extra_forbidden"
        assert body["message"]["detail"][0]["loc"] == ["body", "max_completion_tokens"]


async def test_deepseek():
    """Thoughts come beside the content, and have to come back with their calls."""
    async with OpenAIServer(like="deepseek") as server:
        server.script(Reply(tool_calls=TWO.tool_calls[:1], reasoning="hm"), "fine")
        _, body, _ = await post(server)
        message = body["choices"][0]["message"]
        assert message["reasoning_content"] == "hm"
        assert body["usage"]["prompt_cache_miss_tokens"] > 0
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
        bare = {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}
        status, body, _ = await post(server, messages=[USER, bare, result])
        assert status == 400
        assert "Missing `reasoning_content` field" in body["error"]["message"]
        back = {**bare, "reasoning_content": "hm"}
        assert (await post(server, messages=[USER, back, result]))[0] == 200


async def test_xai():
    """Thoughts are counted beside the answer; stop is refused."""
    usage = Usage(prompt_tokens=5, completion_tokens=100, reasoning_tokens=90)
    async with OpenAIServer(like="xai") as server:
        server.script(Reply(text="x", usage=usage))
        _, body, _ = await post(server)
        counted = body["usage"]
        assert (counted["completion_tokens"], counted["total_tokens"]) == (10, 105)
        status, body, _ = await post(server, stop=["x"])
        assert status == 400
        assert "does not support parameter stop" in body["error"]["message"]


async def test_vllm():
    """Errors are flat, in a stream too."""
    async with OpenAIServer(like="vllm", models=["m"]) as server:
        status, body, _ = await post(server, model="n")
        assert (status, body["object"], body["code"]) == (404, "error", 404)
        server.fail(faults.error_event_in_stream(message="gone"))
        chunks, _ = await stream(server)
        assert chunks[-1] == {
            "object": "error",
            "message": "gone",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }


async def test_ollama():
    """All calls of a stream have index 0."""
    async with OpenAIServer(like="ollama") as server:
        server.script(TWO)
        chunks, _ = await stream(server)
        calls = [call for delta in deltas(chunks) for call in delta.get("tool_calls") or ()]
        assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "f"), (0, "g")]


async def test_llama_cpp():
    """Arguments are objects; a long prompt has its own words; dimensions are ignored."""
    async with OpenAIServer(like="llama.cpp") as server:
        server.script(TWO)
        _, body, _ = await post(server)
        call = body["choices"][0]["message"]["tool_calls"][0]
        assert call["function"]["arguments"] == {"a": 1}
        status, body, _ = await post(server, messages=[{**USER, "content": "x" * 40_000}])
        assert (status, body["error"]["type"]) == (400, "exceed_context_size_error")
        assert body["error"]["n_ctx"] == 8192
        _, body, _ = await post(
            server, "/embeddings", input="x", dimensions=8, encoding_format="base64"
        )
        assert len(body["data"][0]["embedding"]) == 1536


async def test_manners_hold_for_a_request_that_comes_again():
    """What a server ignores, it ignores every time it is asked the same."""
    async with OpenAIServer(like="ollama") as server:
        for _ in range(2):
            _, body, _ = await post(server, n=2)
            assert len(body["choices"]) == 1
