"""Each thing an endpoint does wrong has its error."""

import pytest
from llm_support import HELLO

from agentinfra import errors
from agentinfra.testing import faults

CASES = [
    (faults.unauthorized(), errors.AuthenticationError, False),
    (faults.status(403), errors.AuthenticationError, False),
    (faults.status(400), errors.BadRequestError, False),
    (faults.status(404), errors.BadRequestError, False),
    (faults.status(422), errors.BadRequestError, False),
    (faults.context_length(), errors.ContextLengthError, False),
    (faults.content_filter(), errors.ContentFilterError, False),
    (faults.quota_exceeded(), errors.QuotaExceededError, False),
    (faults.status(402), errors.QuotaExceededError, False),
    (faults.rate_limited(), errors.RateLimitedError, True),
    (faults.status(408), errors.ServerError, True),
    (faults.status(409), errors.ServerError, True),
    (faults.server_error(500), errors.ServerError, True),
    (faults.server_error(503), errors.ServerError, True),
    (faults.status(502, "<html>bad gateway</html>"), errors.ServerError, True),
    (faults.disconnect_before_headers(), errors.LLMConnectionError, True),
    (faults.disconnect_mid_body(), errors.LLMConnectionError, True),
    (faults.malformed_body(), errors.LLMResponseError, True),
    (faults.html_body(), errors.LLMResponseError, True),
    (faults.empty_choices(), errors.LLMResponseError, True),
]


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"), CASES, ids=[f"{c[0].name}-{c[1].__name__}" for c in CASES]
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_error_is_typed(client, server, fault, kind, retryable, stream):
    """The class is the exact one, says whether to retry, and keeps the vendor's error."""
    if stream and fault.name in ("disconnect_mid_body", "malformed_body"):
        pytest.skip("the fault is about whole bodies")
    server.fail_always(fault)
    with pytest.raises(errors.LLMError) as caught:
        reply = await client.chat_completion(HELLO, stream=stream)
        await reply.response()
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert caught.value.__cause__ is not None or kind is errors.LLMResponseError
    assert "\n" not in str(caught.value)
    assert server.ledger.count() == 1
    assert len(client._inflight) == 0


async def test_status_errors_have_openais_error_as_their_cause(client, server):
    """Code written for the openai package finds its class there."""
    import openai

    server.fail(faults.rate_limited(retry_after=7))
    with pytest.raises(errors.RateLimitedError) as caught:
        await client.chat_completion(HELLO)
    assert isinstance(caught.value.__cause__, openai.RateLimitError)
    assert caught.value.retry_after == 7.0
    assert caught.value.request_id


async def test_a_closed_port_is_a_connection_error(client_of, server):
    """A server that is not there is named as unreachable."""
    async with client_of(server, base_url="http://127.0.0.1:9/v1", max_attempts=1) as llm:
        with pytest.raises(errors.LLMConnectionError, match="cannot be reached"):
            await llm.chat_completion(HELLO)


async def test_a_server_that_never_answers_is_a_timeout(client, server):
    """The per-call timeout ends the attempt and says what to change."""
    server.fail_always(faults.hang())
    with pytest.raises(errors.LLMTimeoutError, match=r"within 0.02 s.*Settings.llm.timeout"):
        await client.chat_completion(HELLO, timeout=0.02)
    await server.wait_until_idle()


async def test_a_wrong_content_type_with_a_right_body_is_an_answer(client, server):
    """What can be read is read."""
    server.fail(faults.wrong_content_type())
    assert (await client.chat_completion(HELLO)).text
