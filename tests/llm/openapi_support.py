"""OpenAI's own description of its API, where it lies beside the project."""

import gzip
import json
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

DESCRIPTION = Path(__file__).parents[2].parent / "shared" / "data" / "openai-openapi.json.gz"


@cache
def _components(loosely):
    text = gzip.decompress(DESCRIPTION.read_bytes()).decode()
    if loosely:
        text = text.replace('"oneOf":', '"anyOf":')
    return json.loads(text)["components"]


@cache
def validator(name):
    """Return a validator of one of the description's schemas; skips where there is none."""
    if not DESCRIPTION.is_file():
        pytest.skip("OpenAI's API description is not here")
    # Several of its schemas fit one message of the Responses API, so that "one of" refuses
    # OpenAI's own examples.
    components = _components(loosely=name == "CreateResponse")
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})


def schema(name):
    """Return one of the description's schemas as it stands."""
    return _components(loosely=False)["schemas"][name]


def complaints(name, body):
    """Return what the description finds wrong with a body."""
    return [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message:.300}"
        for error in validator(name).iter_errors(body)
    ]


def check_requests(server):
    """Assert that every body a server got is one that OpenAI describes."""
    names = {
        "chat/completions": "CreateChatCompletionRequest",
        "embeddings": "CreateEmbeddingRequest",
        "responses": "CreateResponse",
    }
    seen = set()
    for record in server.ledger.requests:
        name = next((value for path, value in names.items() if record.path.endswith(path)), None)
        text = json.dumps(record.body, sort_keys=True)
        if name is None or text in seen or len(text) > 200_000:
            continue
        seen.add(text)
        errors = complaints(name, record.body)
        assert not errors, errors
