"""Finds what a question names and the schema does not know.

Whoever leaves it out answers another question: "revenue in Atlantis" is not all revenue.
"""

from __future__ import annotations

import re

from agentinfra.demo.standin.sql.catalog import Catalog
from agentinfra.demo.standin.sql.lexicon import read_words
from agentinfra.demo.standin.sql.periods import GRAINS, read_period
from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.words import STOPWORDS, tokens, word_set

__all__ = ["unknown_name"]

_PLACED = re.compile(r"\b(?:in|from|at|near|within)\s+(?:the\s+)?([^\W\d_][\w-]*)", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"]+\"|“[^”]+”|(?<!\w)'[^']+'(?!\w)")
_PLAIN = word_set(
    """
    total totals sum average mean median general detail details euros euro eur usd dollars percent
    percentage number numbers time times period past history store shop stock database data table
    tables descending ascending alphabetical words brief short full today yesterday sql top bottom
    best worst most least highest lowest largest biggest smallest fewest greatest maximum minimum
    expensive dearest priciest cheapest latest newest recent oldest earliest first last selling
    trend trends growth share distribution breakdown overview ranking count counts
    """
)


def unknown_name(question: str, catalog: Catalog) -> str | None:
    """Return the first name or place in a question that nothing in the schema is called.

    A name begins with a capital, a place follows "in", "from" and their kind. Spans of time are
    no names; a quoted text is what a row is called, whether there is one or not.
    """
    _, rest = read_period(_QUOTED.sub(" ", question))
    words = read_words(rest, catalog)
    known = {*_PLAIN, *STOPWORDS, *GRAINS}
    for mention in words.mentions:
        known.update(words.words[mention.start : mention.end])
    names = [] if rest.istitle() else Evidence(rest).listed(names=True)
    places: list[str] = _PLACED.findall(rest)
    for name in names + places:
        if not known.issuperset(tokens(name)):
            return name
    return None
