"""The tables of questions that are found by meaning, and of the places they are in."""

from __future__ import annotations

from typing import Any, Final

from agentinfra.db.scope import quoted

__all__ = ["make_questions"]

# Vectors are arrays here, and pgvector's only where they are compared: the tables can be made on a
# server without it, and hold vectors of every length. Compressing them would find nothing.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS {place}.agentinfra_question_places (
    place text PRIMARY KEY,
    scope text NOT NULL,
    partition text NOT NULL,
    mean real[] NOT NULL,
    centred_at bigint NOT NULL DEFAULT 0,
    indexed boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS agentinfra_question_places_of
    ON {place}.agentinfra_question_places (scope, partition);
CREATE TABLE IF NOT EXISTS {place}.agentinfra_questions (
    place text NOT NULL REFERENCES {place}.agentinfra_question_places ON DELETE CASCADE,
    digest bytea NOT NULL,
    question text NOT NULL,
    answer_group text NOT NULL,
    embedding real[] NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (place, digest)
);
ALTER TABLE {place}.agentinfra_questions ALTER COLUMN embedding SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS agentinfra_questions_kept ON {place}.agentinfra_questions (kept_at);
CREATE INDEX IF NOT EXISTS agentinfra_questions_expire ON {place}.agentinfra_questions (expires_at)
"""


async def make_questions(connection: Any, schema: str) -> None:
    """Make the tables; a step of the layout."""
    await connection.execute(_TABLES.format(place=quoted(schema)))
