"""A server that answers with exactly the bytes it is given, as servers of others do."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager, suppress


def reply(body, *, status=200, kind="application/json", headers=()):
    """Return a whole HTTP response as bytes."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{name}: {value}" for name, value in dict(headers).items()]
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def event(data):
    """Return one server-sent event."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return b"data: " + data + b"\n\n"


def events(*pieces, done=b"data: [DONE]\n\n"):
    """Return a whole stream as an HTTP response."""
    return reply(b"".join(map(event, pieces)) + done, kind="text/event-stream")


def answer(content="hi", finish="stop", *, usage=None, **message):
    """Return a body of Chat Completions."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}}
    body = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
    body["choices"] = [{**choice, "finish_reason": finish}]
    counted = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {**body, "usage": usage if usage is not None else counted}


def piece(delta=None, finish=None, **more):
    """Return an event of a stream of Chat Completions."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    body = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    return {**body, "choices": [choice], **more}


class RawServer:
    """Answers each request with what a function returns for it.

    ``answer(request)`` gives bytes, or an async iterator of bytes after which the connection is
    closed. ``requests`` holds what came: path, headers, body.
    """

    def __init__(self, give):
        self.give = give
        self.requests = []
        self.port = 0
        self.serving = set()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def bodies(self):
        return [request["body"] for request in self.requests]

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                await self._one(reader, writer)
        writer.close()
        self.serving.discard(asyncio.current_task())

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        body = json.loads(raw) if raw else None
        request = {"method": method, "path": path, "headers": headers, "body": body}
        self.requests.append(request)
        given = self.give(request)
        if isinstance(given, bytes):
            writer.write(given)
            await writer.drain()
            return
        async with aclosing(given) as parts:
            async for part in parts:
                writer.write(part)
                await writer.drain()
        writer.close()
        raise ConnectionResetError


@asynccontextmanager
async def raw_server(give):
    """Serve a function, or always the same bytes."""
    server = RawServer(give if callable(give) else lambda _: give)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in server.serving:
            task.cancel()
        await asyncio.gather(*server.serving)
