"""What was asked otherwise than scripted fails the test that asked."""

from __future__ import annotations

import openai
import pytest

from agentinfra.errors import ConfigurationError
from agentinfra.results import Usage
from agentinfra.testing import (
    FunctionCall,
    OpenAIServer,
    RawReply,
    Reply,
    ScriptError,
    ScriptWarning,
    faults,
)


async def ask(server, text="hello", *, retries=2):
    """Ask with a client that sends again what may be sent again."""
    async with openai.AsyncOpenAI(
        base_url=server.base_url, api_key="x", max_retries=retries
    ) as client:
        reply = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": text}]
        )
        return reply.choices[0].message.content


async def embed(server):
    """Ask for one embedding."""
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client:
        return await client.embeddings.create(model="m", input="x")


async def test_a_request_too_many_is_refused_and_fails():
    """It is refused once, and leaving says what was asked, answered and expected."""
    with pytest.raises(ScriptError) as caught:
        async with OpenAIServer() as server:
            server.script("one")
            assert await ask(server, "first") == "one"
            with pytest.raises(openai.BadRequestError) as refused:
                await ask(server, "second")
            assert refused.value.code == "not_scripted"
            assert server.ledger.count() == 2
    said = str(caught.value)
    assert "'second' was asked and nothing is scripted for it" in said
    assert "0. POST /v1/chat/completions m 'first' -> 200 by 'one' (test_strict.py:" in said
    assert "1. POST /v1/chat/completions m 'second' -> 400" in said
    assert "nothing more was expected" in said


async def test_a_request_no_rule_matches_is_refused():
    """Rules are a script too."""
    with pytest.raises(ScriptError, match="nothing is scripted for it"):
        async with OpenAIServer() as server:
            server.on("weather", "sunny")
            assert await ask(server, "the weather") == "sunny"
            with pytest.raises(openai.BadRequestError):
                await ask(server, "the news")


async def test_leftovers_fail():
    """Replies, rules and faults that no request took are named with their lines."""
    with pytest.raises(ScriptError) as caught:
        async with OpenAIServer() as server:
            server.script("a", Reply.calling("f"))
            server.on("weather", "sunny")
            server.fail(faults.rate_limited(), times=2)
    said = str(caught.value)
    for told in ("'a' (test_strict", "calls f (", "on 'weather': 'sunny' (", "rate_limited x 2 ("):
        assert told in said
    assert "expected next: 'a' (test_strict.py:" in said


async def test_optional_rules_may_stay_unused():
    """So may a fault that meets whatever comes, or only some."""
    async with OpenAIServer() as server:
        server.on("weather", "sunny", optional=True)
        server.fail_always(faults.server_error(), when="embeddings")
        server.fail(faults.server_error(), when="embeddings", probability=0.5)


async def test_what_a_function_raises_is_raised():
    """A failed assertion in a reply comes out of the block as it was; nobody tries again."""

    def check(request):
        assert request["messages"][0]["role"] == "system", "no system prompt"

    with pytest.raises(AssertionError, match="no system prompt") as caught:
        async with OpenAIServer() as server:
            server.script(check)
            with pytest.raises(openai.BadRequestError):
                await ask(server)
            assert server.ledger.count() == 1
    assert any("what was asked" in note for note in caught.value.__notes__)


async def test_what_decides_on_replies_and_faults_may_fail_too():
    """A rule's function and a fault's are raised again as a reply's is."""

    def fail(_):
        raise LookupError("undecided")

    with pytest.raises(LookupError, match="undecided"):
        async with OpenAIServer() as server:
            server.on(fail, "x", optional=True)
            with pytest.raises(openai.BadRequestError):
                await ask(server)
    with pytest.raises(LookupError, match="undecided"):
        async with OpenAIServer() as server:
            server.fail_always(faults.server_error(), when=fail)
            with pytest.raises(openai.BadRequestError):
                await ask(server)


async def test_what_decides_on_faults_may_disarm_them():
    """A function that is asked whether a fault meets a request may change what is armed."""
    async with OpenAIServer() as server:
        server.fail_always(faults.server_error(), when=lambda _: server.recover() or True)
        with pytest.raises(openai.InternalServerError):
            await ask(server, retries=0)
        assert await ask(server) == "You said: hello"


async def test_the_blocks_own_error_comes_out():
    """What the block raised is what comes out; the rest are notes on it."""

    def fail(_):
        raise KeyError("inner")

    with pytest.raises(openai.BadRequestError) as caught:
        async with OpenAIServer() as server:
            server.script(fail, "left over")
            await ask(server)
    notes = "\n".join(caught.value.__notes__)
    assert "KeyError: 'inner'" in notes
    assert "nobody asked for 'left over'" in notes


async def test_default_answers_the_rest():
    """A default that was given answers what the script does not."""
    async with OpenAIServer(default=lambda body: f"{body['model']} rests") as server:
        server.script("one")
        assert [await ask(server), await ask(server)] == ["one", "m rests"]


async def test_a_default_is_for_texts():
    """A default that was given leaves embeddings to theirs."""
    async with OpenAIServer(default="x") as server:
        assert (await embed(server)).data


async def test_other_kinds_of_requests_keep_their_default():
    """A script of chat leaves embeddings alone, and one of embeddings leaves chat alone."""
    async with OpenAIServer() as server:
        server.script("one")
        assert (await embed(server)).data
        assert await ask(server) == "one"
    async with OpenAIServer() as server:
        server.script(RawReply(body={"data": []}), to="embeddings")
        assert await ask(server, "hello") == "You said: hello"
        with pytest.raises(ValueError, match="No embedding data"):
            await embed(server)


async def test_raw_replies_are_sent_as_they_are():
    """Status, headers and bytes are those that were given."""
    async with OpenAIServer() as server:
        server.script(RawReply(body="no JSON", status=418, headers={"x-mine": "yes"}))
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(server)
    assert (caught.value.status_code, caught.value.response.text) == (418, "no JSON")
    assert caught.value.response.headers["x-mine"] == "yes"


async def test_raw_bytes_are_sent_as_they_are():
    """Bytes that are no text go out unchanged, and a list of anything else as JSON."""
    async with OpenAIServer() as server:
        server.script(RawReply(body=b"\xff\x00", status=418), RawReply(body=[1, "a"], status=418))
        for sent in (b"\xff\x00", b'[1,"a"]'):
            with pytest.raises(openai.APIStatusError) as caught:
                await ask(server)
            assert caught.value.response.content == sent


@pytest.mark.parametrize(
    "given", ["second", [{"role": "user", "content": "second"}]], ids=["text", "items"]
)
async def test_the_timeline_tells_what_a_responses_request_asked(given):
    """Its input stands in the timeline, a text as well as items."""
    with pytest.raises(ScriptError, match="POST /v1/responses m 'second' was asked"):
        async with (
            OpenAIServer() as server,
            openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client,
        ):
            server.script("one", to="responses")
            await client.responses.create(model="m", input="first")
            with pytest.raises(openai.BadRequestError):
                await client.responses.create(model="m", input=given)


@pytest.mark.parametrize("count", [40, 42])
async def test_a_long_timeline_shows_its_end(count):
    """Of many requests the last forty are shown, and how many came before."""
    async with OpenAIServer() as server:
        server.on("hello", "a")
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client:
            for _ in range(count):
                await client.responses.create(model="m", input="hello")
        server.script("left over")
        with pytest.raises(ScriptError) as caught:
            server.verify()
        server.clear()
    said = str(caught.value)
    assert ("... 2 more before" in said) is (count == 42)
    assert (" 0. POST" in said) is (count == 40)
    assert f" {count - 1}. POST" in said


async def test_lenient_servers_warn():
    """``strict=False`` answers by default and warns in place of raising."""
    async with OpenAIServer(strict=False) as server:
        server.script("a")
        assert [await ask(server), await ask(server)] == ["a", "You said: hello"]
        server.script("b")
        with pytest.warns(ScriptWarning, match="nobody asked for 'b'"):
            server.verify()
        server.clear()


async def test_programs_that_are_no_tests_are_warned(monkeypatch):
    """Where pytest runs no test there is nothing to fail; ``strict=True`` raises all the same."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    for strict, expected in ((None, ScriptWarning), (True, ScriptError)):
        async with OpenAIServer(strict=strict) as server:
            server.script("a")
            with pytest.raises(expected):
                server.verify()
            server.clear()


async def test_verify_raises_before_the_block_ends():
    """A server that is shared can be judged, and cleared, between its tests."""
    async with OpenAIServer() as server:
        server.script("a")
        with pytest.raises(ScriptError):
            server.verify()
        server.clear()
        server.verify()


@pytest.mark.parametrize(
    "given",
    [
        5,
        None,
        b"bytes",
        Reply(text=5),
        Reply(tool_calls="f"),
        Reply(tool_calls=(FunctionCall(name="f", arguments={"a": 1j}),)),
        Reply(tool_calls=({"name": "f"},)),
        Reply(chunks=(1,)),
        Reply(delay=-1),
        Reply(usage={"total_tokens": 1}),
        Reply(headers={"a": "b\r\nc: d"}),
        RawReply(status=42),
        RawReply(body={"a": 1j}),
        Usage,
    ],
    ids=str,
)
def test_bad_values_are_refused_where_they_are_given(given):
    """A reply that cannot be sent is an error of the line that gave it."""
    server = OpenAIServer()
    with pytest.raises(ConfigurationError, match=r"^test_strict\.py:\d+: "):
        server.script("fine", given)
    assert server.pending_replies == 0


def test_bad_targets_are_refused():
    """So are endpoints, faults, matchers and names of animals that are none."""
    server = OpenAIServer()
    with pytest.raises(ConfigurationError, match="to='images'"):
        server.script("x", to="images")
    with pytest.raises(ConfigurationError, match="no fault"):
        server.fail("rate_limited")
    with pytest.raises(ConfigurationError, match="times=0"):
        server.fail(faults.server_error(), times=0)
    with pytest.raises(ConfigurationError, match="matches nothing"):
        server.on(5, "x")
    with pytest.raises(ConfigurationError, match="like='unicorn'"):
        OpenAIServer(like="unicorn")


async def test_a_function_that_returns_no_reply_fails():
    """What a function returns is checked too."""
    with pytest.raises(ConfigurationError, match=r"function of test_strict\.py:\d+ returned: 5 is"):
        async with OpenAIServer() as server:
            server.script(lambda _: 5)
            with pytest.raises(openai.BadRequestError):
                await ask(server)
