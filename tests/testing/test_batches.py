"""Files and batches, as far as a client needs them."""

from __future__ import annotations

import json

import openai
import pytest

HELLO = [{"role": "user", "content": "hello"}]


def lines(*requests):
    """Return the content of a batch's file."""
    return b"\n".join(json.dumps(request).encode() for request in requests)


def line(name, url="/v1/chat/completions", **body):
    """Return one request of a batch."""
    return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "m", **body}}


async def upload(client, content):
    """Upload a file for a batch."""
    return await client.files.create(file=("in.jsonl", content), purpose="batch")


async def run(client, content, endpoint="/v1/chat/completions"):
    """Make a batch, and return it as it is when it is asked for again."""
    file = await upload(client, content)
    batch = await client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h"
    )
    return await client.batches.retrieve(batch.id)


async def read(client, name):
    """Return the answers in a file by the names of their requests."""
    content = (await client.files.content(name)).text
    told = [json.loads(one) for one in content.splitlines()]
    return {one["custom_id"]: one["response"] for one in told}


async def test_files_come_back_as_they_went(server, client):
    """A file is described, listed, read and deleted."""
    content = bytes(range(256)) * 10
    file = await upload(client, content)
    assert (file.bytes, file.filename, file.purpose) == (len(content), "in.jsonl", "batch")
    assert [one.id async for one in await client.files.list()] == [file.id]
    assert (await client.files.content(file.id)).content == content
    await client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file.id)


async def test_a_batch_is_worked_off(server, client):
    """Its answers are those that the requests would get by themselves, errors in their own file."""
    good, bad = line("good", messages=HELLO), line("bad", messages=[])
    batch = await run(client, lines(good, bad))
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    answers = await read(client, batch.output_file_id)
    assert answers["good"]["body"]["choices"][0]["message"]["content"] == "You said: hello"
    errors = await read(client, batch.error_file_id)
    assert errors["bad"]["status_code"] == 400


@pytest.mark.parametrize("endpoint", ["/v1/embeddings", "/v1/responses"])
async def test_other_endpoints_have_batches(server, client, endpoint):
    """Embeddings and responses can be asked for in a batch."""
    batch = await run(client, lines(line("one", endpoint, input="hello")), endpoint)
    assert (await read(client, batch.output_file_id))["one"]["status_code"] == 200


async def test_a_script_answers_batches_too(server, client):
    """Replies are taken in the order of the lines."""
    server.script("first", "second")
    batch = await run(client, lines(line("a", messages=HELLO), line("b", messages=HELLO)))
    answers = await read(client, batch.output_file_id)
    said = [one["body"]["choices"][0]["message"]["content"] for one in answers.values()]
    assert said == ["first", "second"]


async def test_a_batch_begins_by_being_validated(server, client):
    """It is validating when made, listed, and may be cancelled before it is looked at."""
    file = await upload(client, lines(line("a", messages=HELLO)))
    made = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert (made.status, made.output_file_id) == ("validating", None)
    assert [one.id async for one in await client.batches.list()] == [made.id]
    assert (await client.batches.cancel(made.id)).status == "cancelled"


async def test_bad_lines_fail_the_batch(server, client):
    """A line that is no request fails the batch and is named."""
    batch = await run(client, lines(line("a", messages=HELLO)) + b"\nnonsense")
    assert batch.status == "failed"
    assert batch.errors.data[0].line == 2


async def test_what_is_not_there_is_a_404(server, client):
    """Unknown files and batches are not found."""
    with pytest.raises(openai.NotFoundError):
        await client.batches.retrieve("batch_nothing")
    with pytest.raises(openai.NotFoundError):
        await client.batches.create(
            input_file_id="file-nothing",
            endpoint="/v1/embeddings",
            completion_window="24h",
        )
