"""Recording and replaying: nothing secret in the file, the right answer for each request."""

import asyncio

import pytest
import vcr.errors
import yaml

from agentinfra import AsyncLLMClient, ConfigurationError
from agentinfra.settings import LLMSettings
from agentinfra.testing import OpenAIServer, Reply, replay

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


async def streamed_by_openai(url, *texts):
    """Return the pieces of streams that the openai package reads side by side."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:

        async def one(text):
            messages = [{"role": "user", "content": text}]
            stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
            return [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]

        return [
            [piece for piece in read if piece] for read in await asyncio.gather(*map(one, texts))
        ]


async def streamed_by_ours(url, *texts):
    """Return the pieces of streams that our client reads side by side."""
    settings = LLMSettings(base_url=url, api_key=KEY, max_attempts=1)
    async with AsyncLLMClient(settings) as llm:

        async def one(text):
            messages = [{"role": "user", "content": text}]
            stream = await llm.chat_completion(messages, stream=True)
            return [chunk.text async for chunk in stream if chunk.text]

        return await asyncio.gather(*map(one, texts))


@pytest.mark.parametrize("streamed", [streamed_by_openai, streamed_by_ours])
async def test_streams_come_back_event_by_event(tmp_path, streamed):
    """A stream is replayed in the pieces it came in, whatever is in them."""
    path = tmp_path / "streams.yaml"
    pieces = ["Zürich", "\u2028 is", " 日本\n\n", " data: x"]
    async with OpenAIServer() as server:
        server.script(Reply(chunks=pieces), "You said: one two")
        with replay(path, record=True):
            assert await streamed(server.base_url, "cities") == [pieces]
            await streamed(server.base_url, "one two")
        url = server.base_url
    with replay(path):
        assert await streamed(url, "one two", "cities") == [
            ["You", " said:", " one", " two"],
            pieces,
        ]


async def test_a_stream_can_be_read_in_the_file(recorded, tmp_path):
    """Each event stands in the cassette as text, and keys in it do not."""
    path = tmp_path / "streams.yaml"
    async with OpenAIServer() as server:
        with replay(path, record=True):
            await streamed_by_openai(server.base_url, f"my key is {KEY}")
    assert KEY not in path.read_text()
    (call,) = yaml.safe_load(path.read_text())["interactions"]
    events = call["response"]["body"]["string"].split("\n\n")
    assert [event[:6] for event in events if event] == ["data: "] * (len(events) - 1)
    assert events[-2] == "data: [DONE]"


@pytest.mark.parametrize("streamed", [streamed_by_openai, streamed_by_ours])
async def test_equal_calls_side_by_side_get_their_answers_in_the_order_they_asked(
    tmp_path, streamed
):
    """The first who asks gets the first answer again, though it was the last to end."""
    path = tmp_path / "equal.yaml"
    second_is_there = asyncio.Event()

    async def slow(_):
        await second_is_there.wait()
        return Reply(text="first", chunk_delay=0.001)

    def quick(_):
        server_loop.call_soon_threadsafe(second_is_there.set)
        return "second"

    server_loop = asyncio.get_running_loop()
    async with OpenAIServer() as server:
        server.script(slow, quick)
        with replay(path, record=True):
            assert await streamed(server.base_url, "x", "x") == [["first"], ["second"]]
        url = server.base_url
    with replay(path):
        assert await streamed(url, "x", "x") == [["first"], ["second"]]


async def test_what_is_added_to_a_cassette_stands_behind_what_was_there(recorded):
    """Recording again keeps the interactions there are, and their order."""
    path, _ = recorded
    before = yaml.safe_load(path.read_text())["interactions"]
    async with OpenAIServer() as server:
        with replay(path, record=True):
            await ask(server.base_url, "four", "five")
    after = yaml.safe_load(path.read_text())["interactions"]
    assert after[: len(before)] == before
    assert ["four" in call["request"]["body"] for call in after[len(before) :]] == [True, False]


def test_a_cassette_that_is_not_there_is_told(tmp_path):
    """Replaying what was never recorded fails at once, with what to do."""
    with (
        pytest.raises(ConfigurationError, match=r"nothing.yaml.*record=True"),
        replay(tmp_path / "nothing.yaml"),
    ):
        pass
