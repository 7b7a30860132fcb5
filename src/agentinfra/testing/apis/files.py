"""Files, and batches of requests that are in them."""

from __future__ import annotations

import email
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from agentinfra.testing.ledger import parse_body
from agentinfra.testing.outcome import Asked, Outcome, RefusedError
from agentinfra.testing.validation.parameters import check_parameters

__all__ = ["Files"]

Runner: TypeAlias = "Callable[[str, dict[str, Any]], Awaitable[tuple[int, bytes]]]"
_PATHS = frozenset({"/v1/chat/completions", "/v1/embeddings", "/v1/responses"})
_DAY = 86_400


class Files:
    """Keeps the files and the batches of one server, as long as it lives.

    A batch is worked off when it is made: it is told as ``validating`` then, and as done whenever
    it is asked for, unless it was cancelled in between.
    """

    def __init__(self) -> None:
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._batches: dict[str, dict[str, Any]] = {}

    async def answer(self, asked: Asked, run: Runner) -> Outcome:
        """Answer a request for files or batches.

        Args:
            asked: The request.
            run: Answers one request of a batch: given path and body, it returns status and body.

        Raises:
            RefusedError: OpenAI would answer with an error.
        """
        if asked.endpoint in ("files", "files.one", "files.content"):
            return self._answer_files(asked)
        if asked.endpoint != "batches":
            return _json(self._one(asked))
        if asked.exchange.method == "GET":
            return _json(_listed([*self._batches.values()]))
        return _json(await self._make(asked, run))

    def _answer_files(self, asked: Asked) -> Outcome:
        if asked.endpoint == "files":
            if asked.exchange.method == "GET":
                return _json(_listed([described for described, _ in self._files.values()]))
            return _json(self._upload(asked))
        described, content = self._file(asked.argument)
        if asked.endpoint == "files.content":
            return Outcome(body=content, content_type="application/octet-stream")
        if asked.exchange.method == "DELETE":
            del self._files[asked.argument]
            return _json({"id": asked.argument, "object": "file", "deleted": True})
        return _json(described)

    def _file(self, name: str) -> tuple[dict[str, Any], bytes]:
        if name not in self._files:
            raise RefusedError(f"No such File object: {name}", status=404, param="id")
        return self._files[name]

    def _upload(self, asked: Asked) -> dict[str, Any]:
        parts = _parts(asked)
        if "file" not in parts:
            raise RefusedError("Missing required parameter: 'file'.", param="file")
        if "purpose" not in parts:
            raise RefusedError("Missing required parameter: 'purpose'.", param="purpose")
        filename, content = parts["file"]
        return self._add(filename or "file", parts["purpose"][1].decode(), content)

    def _add(self, filename: str, purpose: str, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self._files):024d}"
        described = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        self._files[name] = described, content
        return described

    def _one(self, asked: Asked) -> dict[str, Any]:
        batch = self._batches.get(asked.argument)
        if batch is None:
            raise RefusedError(
                f"No batch found with id '{asked.argument}'.", status=404, param="batch_id"
            )
        if asked.endpoint == "batches.cancel":
            if batch["status"] == "completed" and batch.get("seen"):
                raise RefusedError("Cannot cancel a batch with status 'completed'.", status=409)
            batch |= {"status": "cancelled", "output_file_id": None, "cancelled_at": _now()}
        batch["seen"] = True
        return _shown(batch)

    async def _make(self, asked: Asked, run: Runner) -> dict[str, Any]:
        check_parameters("batches", asked.body)
        body = asked.body
        if body["endpoint"] not in _PATHS:
            raise RefusedError(
                f"This server runs no batches of {body['endpoint']}.", param="endpoint"
            )
        _, content = self._file(body["input_file_id"])
        lines, errors = _lines(content)
        if errors:
            return self._failed(body, errors)
        good: list[bytes] = []
        bad: list[bytes] = []
        for place, line in enumerate(lines):
            status, answer = await run(body["endpoint"], line["body"])
            told = {
                "id": f"batch_req_{place:024d}",
                "custom_id": line["custom_id"],
                "response": {
                    "status_code": status,
                    "request_id": f"req_{place:032x}",
                    "body": orjson.loads(answer),
                },
                "error": None,
            }
            (good if status == 200 else bad).append(orjson.dumps(told))
        batch = self._batch(body, good, bad)
        self._batches[batch["id"]] = batch
        asked_now = {"status": "validating", "output_file_id": None, "error_file_id": None}
        return {**_shown(batch), **asked_now, "completed_at": None}

    def _failed(self, body: Mapping[str, Any], errors: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self._batch(body, [], [])
        batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
        batch |= {"completed_at": None, "failed_at": batch["created_at"]}
        self._batches[batch["id"]] = batch
        return _shown(batch)

    def _batch(
        self, body: Mapping[str, Any], good: list[bytes], bad: list[bytes]
    ) -> dict[str, Any]:
        now = _now()
        output = self._add("output.jsonl", "batch_output", b"\n".join(good)) if good else None
        errors = self._add("errors.jsonl", "batch_output", b"\n".join(bad)) if bad else None
        counts = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}
        return {
            "id": f"batch_{len(self._batches):024d}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "completed",
            "output_file_id": output["id"] if output else None,
            "error_file_id": errors["id"] if errors else None,
            "created_at": now,
            "in_progress_at": now,
            "expires_at": now + _DAY,
            "completed_at": now,
            "request_counts": counts,
            "metadata": body.get("metadata"),
        }


def _lines(content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the requests in a file, and what is wrong with its lines."""
    lines, errors = [], []
    for place, raw in enumerate(content.splitlines(), 1):
        if not raw.strip():
            continue
        line = parse_body(raw)
        named = isinstance(line, dict) and isinstance(line.get("custom_id"), str)
        if named and isinstance(line.get("body"), dict):
            lines.append(line)
        else:
            message = "This line is not a JSON object with custom_id, method, url and body."
            told = {"code": "invalid_json_line", "message": message, "param": None, "line": place}
            errors.append(told)
    return lines, errors


def _shown(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in batch.items() if key != "seen" and value is not None}


def _listed(data: list[dict[str, Any]]) -> dict[str, Any]:
    shown = [_shown(item) for item in data[::-1]]
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else ("", "")
    return {
        "object": "list",
        "data": shown,
        "first_id": first,
        "last_id": last,
        "has_more": False,
    }


def _parts(asked: Asked) -> dict[str, tuple[str | None, bytes]]:
    """Return the parts of a form by name, each with its file's name and its content."""
    kind = asked.headers.get("Content-Type", "")
    if not kind.startswith("multipart/form-data"):
        raise RefusedError("We could not parse your request: send multipart/form-data.")
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.message_from_bytes(head + asked.exchange.raw_body)
    parts: dict[str, tuple[str | None, bytes]] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            parts[name] = part.get_filename(), content
    return parts


def _json(value: dict[str, Any]) -> Outcome:
    return Outcome(body=orjson.dumps(value))


def _now() -> int:
    return int(time.time())
