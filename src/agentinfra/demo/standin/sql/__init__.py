"""Plans a SELECT for a question over a schema given as DDL. Keyword-driven, not a model.

It understands counts, sums, averages, largest and smallest, named measures, grouping by columns,
by related tables and by spans of time, the top N, filters on listed values, on numbers, on
quoted names and on dates, and related tables through foreign keys. It does not understand
shares, HAVING ("customers with more than 3 orders"), comparisons between periods, or anything it
has no word for: comments in the DDL (see ``catalog``) give it the words. Adding up a column over
rows that a grouping multiplies is not noticed.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentinfra.demo.standin.sql.builder import identifier
from agentinfra.demo.standin.sql.catalog import Catalog
from agentinfra.demo.standin.sql.ddl import read_catalog
from agentinfra.demo.standin.sql.intent import overlay
from agentinfra.demo.standin.sql.lexicon import read_words
from agentinfra.demo.standin.sql.question import read_intent
from agentinfra.demo.standin.sql.select import write_select
from agentinfra.demo.standin.sql.unknown import unknown_name

__all__ = ["plan_sql", "speaks_of_schema"]

_LOOK = 10


def plan_sql(ddl: str, questions: Sequence[str]) -> str | None:
    """Return a SELECT for the last question, None where the text has no CREATE TABLE.

    Args:
        ddl: A text with CREATE TABLE statements and the comments that explain them.
        questions: The question, after those it builds on: what it leaves open is taken from them.

    Returns:
        A statement in PostgreSQL's SQL. A question that names nothing of the schema gets the
        first rows of its first table; one that names what the schema does not know gets no rows,
        and a column that says so.
    """
    catalog = read_catalog(ddl)
    if catalog is None:
        return None
    if (name := unknown_name(questions[-1], catalog)) is not None:
        return f"SELECT NULL AS {identifier(f'nothing is known of {name}')} LIMIT 0"
    intent = overlay([read_intent(question, catalog) for question in questions])
    return write_select(intent, catalog) or _first_rows(catalog)


def speaks_of_schema(ddl: str, question: str) -> bool:
    """Return whether a question can be put to the schema in a text.

    It mentions something of it, and names nothing that is not in it.
    """
    catalog = read_catalog(ddl)
    if catalog is None or unknown_name(question, catalog) is not None:
        return False
    return bool(read_words(question, catalog).mentions)


def _first_rows(catalog: Catalog) -> str:
    table = identifier(next(iter(catalog.tables)))
    return f"SELECT * FROM {table} LIMIT {_LOOK}"  # noqa: S608 - nothing of it is a user's text
