"""What the agents are told: instructions, and the functions they may call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.demo.sales.schema import describe

__all__ = [
    "ANALYTICS",
    "EXPLAIN",
    "KNOWLEDGE",
    "NOT_FOUND",
    "ROUTER",
    "RUN_SQL",
    "choose_agent",
    "hand_over",
    "with_documents",
]

NOT_FOUND = "I could not find that in the context."
"""What the knowledge agent says when the documents do not answer; the team reads it."""

ROUTER = """\
You direct questions to one of two agents, analytics and knowledge. You never answer them."""

ANALYTICS = f"""\
You answer questions about the sales of an outdoor shop from its PostgreSQL database:

{describe()}
Write one SELECT for the user's question. Amounts are in euros; round averages to cents. Name the
columns so that a reader understands them, and give a name with every id. Where the question
builds on earlier ones, write the whole statement again. If the tables do not hold what is asked
for, hand the question over."""

EXPLAIN = """\
You are given a question and the rows the shop's database returned for it. Answer the question
from these rows alone, in one or two plain sentences with the numbers as they are. Do not mention
SQL or tables."""

KNOWLEDGE = f"""\
You answer questions from documents. Use nothing but the documents you are given. Answer in a few
plain sentences, and put the source of each behind it, in brackets, exactly as it stands above the
document, as in [guide.md#setup]. If the documents do not answer the question, reply with exactly
this sentence and nothing else: {NOT_FOUND}"""


def _function(name: str, description: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
        },
    }


RUN_SQL = _function(
    "run_sql",
    "Read from the sales database.",
    sql={"type": "string", "description": "One PostgreSQL SELECT."},
)


def hand_over(subjects: Sequence[str]) -> dict[str, Any]:
    """Return the function by which the analytics agent gives a question away.

    Args:
        subjects: What the documents are about, as their headings say.
    """
    return _function(
        "hand_over",
        "Give the question to the knowledge agent: it asks what something is, why or how it "
        "works, or for an explanation, a policy or a guide in the documents, not for sales "
        f"figures. The documents are about {', '.join(subjects)}.",
    )


def choose_agent(subjects: Sequence[str]) -> dict[str, Any]:
    """Return the router's function.

    Args:
        subjects: What the documents are about, as their headings say.
    """
    return _function(
        "choose_agent",
        "Direct the question.",
        agent={
            "type": "string",
            "enum": ["analytics", "knowledge"],
            "description": (
                "analytics: figures from the shop's sales database: how many orders, revenue, "
                "sales, customers, countries, products, categories, prices, channels; totals, "
                "averages, rankings, trends by month or year. "
                "knowledge: explanations from the documents, which are about "
                f"{', '.join(subjects)}; how and why something works; anything else."
            ),
        },
        question={
            "type": "string",
            "description": (
                "The question, word for word, when it can be understood without the "
                "conversation; otherwise what is asked, in one sentence of its own."
            ),
        },
    )


def with_documents(question: str, passages: Sequence[Mapping[str, str]]) -> str:
    """Return the message that asks a question about passages, each under its source."""
    parts = [f"[{passage['source']}]\n{passage['text']}" for passage in passages]
    documents = "\n\n".join(parts)
    return f"<documents>\n{documents}\n</documents>\n\nQuestion: {question}"
