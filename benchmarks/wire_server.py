"""A server that answers at once with canned bytes, so that clients are what is measured.

Run as ``python -m benchmarks.wire_server``: prints its base URL and serves until it is ended.
Requests whose text says ``hold`` are answered together, when no more of them have come for a while.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
from functools import cache

HOLD = 0.5
"""Seconds without a new request after which those that are held are answered."""

READING = json.dumps({"city": "Oslo", "celsius": 3.5})
NAME = re.compile(rb'"function":\s*\{.*?"name":\s*"(\w+)"')
TEXT = "word " * 150
USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 150,
    "total_tokens": 190,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "gpt-4o-mini"}


def _chat(content: str = TEXT) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps(
        {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    ).encode()


@cache
def _called(name: str) -> bytes:
    function = {"name": name, "arguments": READING}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    body = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return _response(json.dumps(body).encode())


def _stream(chunks: int = 100) -> bytes:
    head = {**HEAD, "object": "chat.completion.chunk"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": "word "} for _ in range(chunks))]
    events = [
        {**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas
    ]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**head, "choices": [], "usage": USAGE})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def _responded(status: str = "completed") -> dict:
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    usage = {
        "input_tokens": 40,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 150,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 190,
    }
    output = [{**message, "content": [part]}] if status == "completed" else []
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "gpt-4o-mini",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if output else None,
    }


def _response_stream(chunks: int = 100) -> bytes:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    events = [{"type": "response.created", "response": _responded("in_progress")}]
    delta = {"type": "response.output_text.delta", "delta": "word ", **place}
    events += [delta for _ in range(chunks)]
    events.append({"type": "response.completed", "response": _responded()})
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered]
    return "".join(lines).encode()


def _embeddings(count: int, *, as_text: bool) -> bytes:
    vector = [((i * 7919) % 1000 - 500) / 500 for i in range(1536)]
    packed = base64.b64encode(struct.pack("<1536f", *vector)).decode()
    data = [
        {"object": "embedding", "index": i, "embedding": packed if as_text else vector}
        for i in range(count)
    ]
    usage = {"prompt_tokens": 500, "total_tokens": 500}
    model = "text-embedding-3-small"
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()


def _response(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}x-request-id: req_1\r\n\r\n".encode() + body


CHAT = _response(_chat())
SCHEMA = _response(_chat(READING))
STREAM = _response(_stream(), "text/event-stream")
RESPONDED = _response(json.dumps(_responded()).encode())
RESPONSE_STREAM = _response(_response_stream(), "text/event-stream")
VECTORS = _response(_embeddings(64, as_text=True))
FLOATS = _response(_embeddings(64, as_text=False))


class Held:
    """Requests that are answered together."""

    waiting: list[asyncio.Transport]
    timer: asyncio.TimerHandle | None = None

    def __init__(self) -> None:
        self.waiting = []

    def add(self, transport: asyncio.Transport) -> None:
        """Hold one more."""
        self.waiting.append(transport)
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(HOLD, self.release)

    def release(self) -> None:
        """Answer all."""
        waiting, self.waiting = self.waiting, []
        for transport in waiting:
            transport.write(CHAT)


class Wire(asyncio.Protocol):
    """One connection: reads requests, answers each with its canned bytes."""

    held = Held()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            if b'"content":"hold' in body or b'"content": "hold' in body:
                self.held.add(self.transport)
            else:
                self.transport.write(_answer(head, body))


def _answer(head: bytes, body: bytes) -> bytes:
    if b"/embeddings" in head[:100]:
        return VECTORS if b"base64" in body else FLOATS
    streamed = b'"stream":true' in body or b'"stream": true' in body
    if b"/responses" in head[:100]:
        return RESPONSE_STREAM if streamed else RESPONDED
    if b'"tools"' in body:
        return _called(found[1].decode() if (found := NAME.search(body)) else "unnamed")
    if b'"json_schema"' in body:
        return SCHEMA
    return STREAM if streamed else CHAT


async def main() -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Wire, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
