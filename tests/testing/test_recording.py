"""Recording and replaying: nothing secret in the file, the right answer for each request."""

import asyncio

import pytest
import vcr.errors
import yaml

from agentinfra.testing import OpenAIServer, replay

KEY = "sk-proj-0123456789abcdef0123"


async def ask(url, *texts):
    """Return what the model says to each text, asked side by side by the openai package."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:

        async def one(text):
            messages = [{"role": "user", "content": text}]
            reply = await client.chat.completions.create(model="m", messages=messages)
            return reply.choices[0].message.content

        return await asyncio.gather(*map(one, texts))


@pytest.fixture
async def recorded(tmp_path):
    """Give a cassette of three calls, and the address of a server that is gone."""
    path = tmp_path / "three.yaml"
    async with OpenAIServer() as server:
        with replay(path, record=True):
            await ask(server.base_url, "one", "two", f"my key is {KEY}")
        return path, server.base_url


async def test_what_was_recorded_comes_back(recorded):
    """Calls side by side get their own answers, in whatever order they ask."""
    path, url = recorded
    with replay(path):
        assert await ask(url, "two", "one") == ["You said: two", "You said: one"]


async def test_no_secret_is_in_the_file(recorded):
    """Keys are scrubbed out of headers and of bodies both ways."""
    path, _ = recorded
    text = path.read_text()
    assert KEY not in text
    bodies = [call["response"]["body"]["string"] for call in yaml.safe_load(text)["interactions"]]
    assert any("You said: two" in body for body in bodies)


async def test_a_request_that_was_not_recorded_says_what_differs(recorded):
    """Without recording nothing is sent; the nearest request is shown beside it."""
    path, url = recorded
    unknown = vcr.errors.CannotOverwriteExistingCassetteException
    with replay(path), pytest.raises(unknown, match="the bodies differ") as raised:
        await ask(url, "three")
    assert '+   "content": "three"' in str(raised.value)
