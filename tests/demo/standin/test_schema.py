"""What the stand-in puts into a schema beyond the words of the question."""

from agentinfra.demo.standin.conversation import read_conversation
from agentinfra.demo.standin.filling import fill_schema

STRING = {"type": "string"}


def fill(schema, question):
    """Fill a schema from one question."""
    return fill_schema(read_conversation([{"role": "user", "content": question}]), schema)


def test_constants_with_descriptions():
    """Among described constants the one whose description fits is chosen."""
    schema = {
        "oneOf": [
            {"const": "billing", "description": "invoices and payments"},
            {"const": "support", "description": "broken things and repairs"},
        ]
    }
    assert fill(schema, "my chair is broken") == "support"


def test_answer_and_sources():
    """Properties named answer and sources get the answer in words and what it quotes."""
    schema = {
        "type": "object",
        "properties": {"answer": STRING, "sources": {"type": "array", "items": STRING}},
        "required": ["answer", "sources"],
    }
    told = "Context:\n[1] Cats sleep.\n[source: b.md] Dogs bark.\n\nQuestion: What do dogs do?"
    assert fill(schema, told) == {"answer": "Dogs bark. [source: b.md]", "sources": ["b.md"]}
