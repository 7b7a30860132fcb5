"""What differs between servers: addresses, keys, headers, sizes, and what goes to whom."""

import pytest
from llm_support import HELLO
from raw_server import answer, raw_server, reply

from agentinfra import AsyncLLMClient, Settings, start_span
from agentinfra.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LLMConnectionError,
    LLMResponseError,
)
from agentinfra.llm.wire.profile import profile_of
from agentinfra.settings import EndpointSettings


def _profile(**fields):
    return profile_of(EndpointSettings(**fields))


async def _sent(transport, *, key=None, path="/v1", call=None, **fields):
    """Return the request of one call under some settings."""
    async with raw_server(reply(answer())) as server:
        base = server.base_url.removesuffix("/v1") + path
        given = {"base_url": base, "transport": transport, "max_attempts": 1, **fields}
        async with AsyncLLMClient(Settings(llm=given).llm, key=key) as llm:
            await llm.chat_completion(HELLO, **(call or {}))
        return server.requests[-1]


@pytest.mark.parametrize(
    ("url", "provider", "auth", "official"),
    [
        (None, "openai", "bearer", True),
        ("https://api.openai.com/v1", "openai", "bearer", True),
        ("https://x.openai.azure.com/openai/v1", "azure.ai.openai", "api-key", True),
        ("https://openrouter.ai/api/v1", "openrouter", "bearer", False),
        ("https://api.mistral.ai/v1", "mistral_ai", "bearer", False),
        ("https://notopenrouter.ai/v1", "openai", "bearer", False),
        ("http://127.0.0.1:8000/v1", "openai", "bearer", False),
    ],
)
def test_presets_go_by_host(url, provider, auth, official):
    """An address tells whose server it is; nobody's is taken for another's."""
    profile = _profile(base_url=url)
    assert profile.attributes["gen_ai.provider.name"] == provider
    assert (profile.auth, profile.speech.official) == (auth, official)


def test_a_field_overrides_its_preset():
    """What is set goes first, False too."""
    profile = _profile(base_url="https://api.mistral.ai/v1", stream_options=True, api="auto")
    assert (profile.speech.stream_options, profile.api) == (True, "auto")
    assert not _profile(base_url="https://api.mistral.ai/v1").speech.stream_options
    assert _profile(base_url="http://gateway/v1", preset="openai").speech.official
    with pytest.raises(ConfigurationError, match="opnai"):
        _profile(preset="opnai")


def test_paths_are_data():
    """A gateway with other paths is named in the settings."""
    profile = _profile(base_url="https://h/x/", paths={"chat": "/complete"})
    assert profile.url("chat", "m", query={}) == "https://h/x/complete"
    assert profile.url("responses", "m", query={"a": True}) == "https://h/x/responses?a=true"


@pytest.mark.parametrize("tail", ["", "/", "/chat/completions", "/responses/", "/embeddings"])
def test_an_address_may_be_that_of_an_operation(tail):
    """What people paste out of a page of documentation is understood, its query too."""
    base_url = f"https://h/openai/v1{tail}?api-version=preview&team=a"
    profile = _profile(base_url=base_url, extra_query={"team": "b"})
    url = "https://h/openai/v1/chat/completions?api-version=preview&team=b"
    assert profile.url("chat", "m", query={}) == url


async def test_extra_headers_query_and_body(transport):
    """Per endpoint and per call, as the openai package has them; a call's go first."""
    request = await _sent(
        transport,
        api_key="k",
        extra_headers={"X-Team": "a", "X-One": "endpoint"},
        extra_query={"v": "1"},
        extra_body={"top_k": 1, "min_p": 2},
        call={
            "extra_headers": {"X-One": "call"},
            "extra_query": {"w": 2},
            "extra_body": {"top_k": 3},
        },
    )
    assert (request["headers"]["x-team"], request["headers"]["x-one"]) == ("a", "call")
    assert request["path"].endswith("?v=1&w=2")
    assert (request["body"]["top_k"], request["body"]["min_p"]) == (3, 2)
    assert "extra_body" not in request["body"]


async def test_extra_headers_are_a_mapping(transport):
    """Anything else is refused before it is sent."""
    with pytest.raises(ConfigurationError, match="extra_headers is list"):
        await _sent(transport, api_key="k", call={"extra_headers": ["X-A"]})


@pytest.mark.parametrize(
    ("fields", "header", "value"),
    [
        ({"api_key": " k\n"}, "authorization", "Bearer k"),
        ({"api_key": "k", "auth": "api-key"}, "api-key", "k"),
        ({"api_key": "k", "api_version": "2024-10-21"}, "api-key", "k"),
    ],
)
async def test_keys_go_where_they_belong(transport, fields, header, value):
    """One header, and no other that could carry a key."""
    headers = (await _sent(transport, **fields))["headers"]
    assert headers[header] == value
    assert len({"authorization", "api-key"} & set(headers)) == 1


async def test_no_key_sends_none(transport):
    """A server that takes no key is sent none."""
    headers = (await _sent(transport))["headers"]
    assert {"authorization", "api-key"} & set(headers) == set()


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
async def test_tokens_of_a_provider_are_bearer(transport, sync):
    """Entra's tokens go out as such on Azure too, from either kind of function."""

    async def provider():
        return "token"

    given = (lambda: "token") if sync else provider
    headers = (await _sent(transport, key=given, api_version="2024-10-21"))["headers"]
    assert headers["authorization"] == "Bearer token"
    assert "api-key" not in headers


@pytest.mark.parametrize("given", [None, "", " \n", 7, "a\nb"])
async def test_a_provider_that_gives_no_key(transport, given):
    """The error says so; nothing is sent."""

    async def provider():
        return given

    with pytest.raises(AuthenticationError, match="provider gave"):
        await _sent(transport, key=provider)


async def test_a_provider_that_fails(transport):
    """Its failure is typed, and behind the error."""

    def provider():
        raise OSError("no identity here")

    with pytest.raises(AuthenticationError, match="failed with OSError") as caught:
        await _sent(transport, key=provider)
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_redirect_is_not_followed(transport):
    """The key stays here; the error names the address, without what its query may hold."""
    async with raw_server(reply(answer())) as other:
        there = f"{other.base_url}/chat/completions?sig=secret"
        async with raw_server(reply(b"", status=307, headers={"Location": there})) as server:
            given = {"base_url": server.base_url, "api_key": "k", "transport": transport}
            async with AsyncLLMClient(Settings(llm={**given, "max_attempts": 1}).llm) as llm:
                for stream in (False, True):
                    with pytest.raises(BadRequestError, match="redirects to") as caught:
                        await llm.chat_completion(HELLO, stream=stream)
        assert other.requests == []
    assert other.base_url in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_headers_may_be_large(transport):
    """Gateways add headers of more than 8 kB."""
    give = reply(answer("x"), headers={"x-trace": "a" * 9000})
    async with raw_server(give) as server:
        given = {"base_url": server.base_url, "transport": transport}
        async with AsyncLLMClient(Settings(llm=given).llm) as llm:
            assert (await llm.chat_completion(HELLO)).text == "x"


async def test_an_answer_is_bounded():
    """One larger than the settings allow is refused, not kept."""
    async with raw_server(reply(answer("x" * 5000))) as server:
        given = {"base_url": server.base_url, "largest_answer": 1000}
        async with AsyncLLMClient(Settings(llm=given).llm) as llm:
            with pytest.raises(LLMResponseError, match="larger than 1000"):
                await llm.chat_completion(HELLO)
        assert len(server.requests) == 1


async def test_the_trace_goes_out_to_ones_own_network_alone(transport):
    """By default; a setting decides for every address."""
    async with start_span("plan") as span:
        headers = (await _sent(transport))["headers"]
        assert headers["traceparent"].split("-")[1] == span.trace_id
        assert "traceparent" not in (await _sent(transport, propagate=False))["headers"]
    assert not _profile(base_url="https://api.openai.com/v1").propagate
    assert not _profile(base_url="https://8.8.8.8/v1").propagate
    assert _profile(base_url="http://vllm.svc.internal/v1").propagate


def test_no_secret_shows():
    """Headers of the settings may be keys: they are in no repr."""
    settings = EndpointSettings(api_key="k-secret", extra_headers={"X-Key": "h-secret"})
    assert "secret" not in f"{settings!r} {profile_of(settings)!r}"


async def test_an_endpoint_nobody_can_reach(transport):
    """A wrong port is said, not waited for."""
    given = {"base_url": "http://127.0.0.1:9/v1", "transport": transport, "max_attempts": 1}
    async with AsyncLLMClient(Settings(llm=given).llm) as llm:
        with pytest.raises(LLMConnectionError):
            await llm.chat_completion(HELLO)
