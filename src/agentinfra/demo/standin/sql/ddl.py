"""Reads a `Catalog` from a text with CREATE TABLE statements."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from agentinfra.demo.standin.sql.catalog import Catalog, Column, Kind, Link, Measure, Table
from agentinfra.testing.answers.words import word_set

__all__ = ["read_catalog"]

_IDENT = r'(?:"[^"]+"|[A-Za-z_]\w*)'
_CREATE = re.compile(
    rf"create\s+(?:temp(?:orary)?\s+|unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?"
    rf"(?:{_IDENT}\.)?({_IDENT})\s*\(",
    re.IGNORECASE,
)
_COLUMN = re.compile(rf"\s*({_IDENT})\s+(\w+)", re.IGNORECASE)
_REFERENCES = re.compile(
    rf"references\s+(?:{_IDENT}\.)?({_IDENT})\s*(?:\(\s*({_IDENT})\s*\))?", re.IGNORECASE
)
_FOREIGN = re.compile(rf"foreign\s+key\s*\(\s*({_IDENT})\s*\)", re.IGNORECASE)
_PRIMARY = re.compile(rf"primary\s+key\s*\(\s*({_IDENT})\s*\)", re.IGNORECASE)
_CONSTRAINT = re.compile(
    r"\s*(?:constraint|primary|foreign|unique|check|exclude|like)\b", re.IGNORECASE
)
_CHECK_IN = re.compile(rf"({_IDENT})\s*(?:::\w+)?\s+in\s*\(([^)]*'[^)]*)\)", re.IGNORECASE)
_COMMENT = re.compile(r"--[ \t]*(.*)")
_QUOTED = re.compile(r"'((?:[^']|'')*)'")

_MEASURE = re.compile(
    r"measure\s+(?P<name>[\w ]+?)\s*(?:=|:)\s*(?P<expression>.+?)(?:\s+from\s+(?P<source>.+))?$",
    re.IGNORECASE,
)
_NAMED_AGGREGATE = re.compile(
    r"(?P<name>[\w ]+?)\s*(?::|=)\s*(?P<expression>(?:sum|avg|count|min|max|round)\s*\(.+\))\s*$",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"(?:(?P<name>[\w.]+)\s*:?\s+)?(?:is\s+)?(?:values?|one of|allowed)\b[^']*(?P<values>'.*)",
    re.IGNORECASE,
)
_SYNONYMS = re.compile(
    r"(?:(?P<name>[\w. ]+?)\s*:\s*)?(?:synonyms?|also called|also known as|aka|also)\b\s*:?\s*"
    r"(?P<names>.+)",
    re.IGNORECASE,
)
_SOURCE_TABLE = re.compile(
    rf"(?:^|\bjoin\s+)(?:{_IDENT}\.)?({_IDENT})"
    rf"(?:\s+(?:as\s+)?(?!(?:on|join|left|inner|where|using)\b)({_IDENT}))?",
    re.IGNORECASE,
)
_NUMBERS = word_set(
    """
    int integer int2 int4 int8 smallint bigint serial bigserial smallserial numeric decimal
    real double float float4 float8 money number
    """
)
_DATES = word_set("date timestamp timestamptz datetime")


@dataclass(slots=True)
class _Draft:
    """A table while its statement is read; ``start`` and ``end`` are its place in the text."""

    name: str
    start: int
    end: int
    key: str | None = None
    synonyms: list[str] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Schema:
    drafts: dict[str, _Draft] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)


@functools.lru_cache(maxsize=16)
def read_catalog(text: str) -> Catalog | None:
    """Return the schema in a text, None where it has no CREATE TABLE statement."""
    plain = _COMMENT.sub(lambda match: " " * len(match[0]), text)
    schema = _Schema()
    for match in _CREATE.finditer(plain):
        _read_table(plain, match, schema)
    if not schema.drafts:
        return None
    _complete_links(schema)
    for match in _COMMENT.finditer(text):
        _read_comment(match[1].strip(), match.start(), text, schema)
    return Catalog(
        tables={
            draft.name: Table(
                name=draft.name,
                columns=draft.columns,
                primary_key=draft.key,
                synonyms=tuple(draft.synonyms),
            )
            for draft in schema.drafts.values()
        },
        links=tuple(schema.links),
        measures=schema.measures,
    )


def _read_table(text: str, match: re.Match[str], schema: _Schema) -> None:
    draft = _Draft(_bare(match[1]), match.start(), _closing(text, match.end()))
    for start, part in _parts(text, match.end(), draft.end):
        if _CONSTRAINT.match(part):
            _read_constraint(part, draft, schema)
        elif found := _COLUMN.match(part):
            _read_column(part, start, found, draft, schema)
    schema.drafts[draft.name] = draft


def _read_column(
    part: str, start: int, found: re.Match[str], draft: _Draft, schema: _Schema
) -> None:
    name = _bare(found[1])
    kind: Kind = "key" if name == "id" or name.endswith("_id") else _kind(found[2])
    if re.search(r"primary\s+key", part, re.IGNORECASE):
        draft.key, kind = name, "key"
    if reference := _REFERENCES.search(part):
        kind = "key"
        schema.links.append(_link(draft.name, name, reference))
    draft.columns[name] = Column(table=draft.name, name=name, kind=kind)
    draft.places[name] = start + found.start(1)
    _read_check(part, draft)


def _read_constraint(part: str, draft: _Draft, schema: _Schema) -> None:
    foreign, reference = _FOREIGN.search(part), _REFERENCES.search(part)
    if foreign and reference:
        name = _bare(foreign[1])
        schema.links.append(_link(draft.name, name, reference))
        _change(draft, name, kind="key")
    elif primary := _PRIMARY.search(part):
        draft.key = _bare(primary[1])
        _change(draft, draft.key, kind="key")
    _read_check(part, draft)


def _read_check(part: str, draft: _Draft) -> None:
    for match in _CHECK_IN.finditer(part):
        _change(draft, _bare(match[1]), values=_listed(match[2]))


def _link(child: str, column: str, reference: re.Match[str]) -> Link:
    key = _bare(reference[2]) if reference[2] else ""
    return Link(child=child, column=column, parent=_bare(reference[1]), key=key)


def _complete_links(schema: _Schema) -> None:
    """Fill in the keys that REFERENCES leaves out, and drop links to unknown tables."""
    known = [link for link in schema.links if link.parent in schema.drafts]
    schema.links = [
        replace(link, key=link.key or schema.drafts[link.parent].key or "id") for link in known
    ]


def _read_comment(comment: str, place: int, text: str, schema: _Schema) -> None:
    draft = next((d for d in schema.drafts.values() if d.start <= place <= d.end), None)
    if found := _MEASURE.match(comment) or _NAMED_AGGREGATE.match(comment):
        _read_measure(found, draft, schema)
    elif found := _VALUES.match(comment):
        for owner, name in _targets(found["name"], draft, place, text, schema):
            _change(owner, name, values=_listed(found["values"]))
    elif found := _SYNONYMS.match(comment):
        names = tuple(word.strip(" .'\"") for word in re.split(r",|\bor\b|\band\b", found["names"]))
        _add_synonyms(found["name"], tuple(filter(None, names)), draft, place, text, schema)


def _read_measure(found: re.Match[str], draft: _Draft | None, schema: _Schema) -> None:
    name = found["name"].strip().replace("_", " ").lower()
    expression = found["expression"].strip().rstrip(";")
    source = (found.groupdict().get("source") or "").strip().rstrip(";")
    where = ""
    if split := re.search(r"\bwhere\b", source, re.IGNORECASE):
        source, where = source[: split.start()].strip(), source[split.end() :].strip()
    aliases = {
        _bare(match[1]): _bare(match[2] or match[1])
        for match in _SOURCE_TABLE.finditer(source)
        if _bare(match[1]) in schema.drafts
    }
    table = next(iter(aliases), None) or (draft.name if draft else _owner(expression, schema))
    schema.measures[name] = Measure(
        name=name,
        expression=expression,
        table=table,
        source=source if aliases else "",
        where=where if aliases else "",
        aliases=aliases,
    )


def _owner(expression: str, schema: _Schema) -> str:
    """Return the table that has most of an expression's columns."""
    words = set(re.findall(r"\w+", expression))
    return max(schema.drafts, key=lambda name: len(words & set(schema.drafts[name].columns)))


def _targets(
    name: str | None, draft: _Draft | None, place: int, text: str, schema: _Schema
) -> Iterator[tuple[_Draft, str]]:
    """Yield the columns a comment speaks of: by name, or the one on its line."""
    table, _, column = (name or "").rpartition(".")
    owners = [draft] if draft and column in draft.columns else list(schema.drafts.values())
    named = [d for d in owners if column in d.columns and table in ("", d.name)]
    if named:
        yield from ((owner, column) for owner in named)
    elif draft:
        line = text.rfind("\n", 0, place)
        near = [(at, name) for name, at in draft.places.items() if line < at < place]
        if near:
            yield draft, max(near)[1]


def _add_synonyms(
    name: str | None,
    names: tuple[str, ...],
    draft: _Draft | None,
    place: int,
    text: str,
    schema: _Schema,
) -> None:
    key = (name or "").strip()
    if key in schema.drafts:
        schema.drafts[key].synonyms.extend(names)
        return
    if (measure := schema.measures.get(key.replace("_", " ").lower())) is not None:
        schema.measures[measure.name] = replace(measure, synonyms=(*measure.synonyms, *names))
        return
    found = False
    for owner, column in _targets(name, draft, place, text, schema):
        _change(owner, column, synonyms=(*owner.columns[column].synonyms, *names))
        found = True
    if not found and not name and draft:
        draft.synonyms.extend(names)


def _change(
    draft: _Draft,
    name: str,
    *,
    kind: Kind | None = None,
    values: tuple[str, ...] | None = None,
    synonyms: tuple[str, ...] | None = None,
) -> None:
    column = draft.columns.get(name)
    if column is not None:
        draft.columns[name] = replace(
            column,
            kind=kind or column.kind,
            values=column.values if values is None else values,
            synonyms=column.synonyms if synonyms is None else synonyms,
        )


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Yield the definitions between a table's parentheses and where they start."""
    begin = start
    for place in _outside(text, start, end):
        if text[place] == ",":
            yield begin, text[begin:place]
            begin = place + 1
    yield begin, text[begin:end]


def _closing(text: str, start: int) -> int:
    """Return the place of the parenthesis that closes the one before ``start``."""
    return next(
        (place for place in _outside(text, start, len(text)) if text[place] == ")"), len(text)
    )


def _outside(text: str, start: int, end: int) -> Iterable[int]:
    """Yield the places that are in no quotes and in no inner parentheses."""
    depth, quote = 0, ""
    for place in range(start, end):
        character = text[place]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif depth:
            depth -= character == ")"
        else:
            yield place


def _kind(type_name: str) -> Kind:
    name = type_name.lower()
    if name in _NUMBERS:
        return "number"
    if name in _DATES:
        return "date"
    return "boolean" if name.startswith("bool") else "text"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(value.replace("''", "'") for value in _QUOTED.findall(text))


def _bare(identifier: str) -> str:
    return identifier.strip('"')
