"""Which relations SQL of others may name: what the settings say, and never our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra.db.guard.touched import Refusal

if TYPE_CHECKING:
    from agentinfra.db.guard.touched import Relation, Touched

__all__ = ["DEFAULT_SCHEMA", "MARKS", "RELATIONS_SQL", "Scope", "Seen", "name_of", "quoted"]

DEFAULT_SCHEMA = "agentinfra"
"""The schema of our own tables where nothing else is said; nobody else's are in it."""

_LANGGRAPH = frozenset(
    {
        "checkpoints",
        "checkpoint_blobs",
        "checkpoint_writes",
        "checkpoint_migrations",
        "store",
        "store_migrations",
        "store_vectors",
        "vector_migrations",
    }
)
"""Tables of conversations. LangGraph chooses the names, and people have such tables too: whose
they are is told by the table of migrations beside them."""

_PREFIXES = ("agentinfra_", "vec_")

MARKS = frozenset({"checkpoint_migrations", "store_migrations", "agentinfra_collections"})
"""Tables that only we and LangGraph make: what is beside them and bears a name of ours is ours."""

RELATIONS_SQL = f"""
SELECT asked.name, n.nspname::text AS schema, c.relname::text AS relation,
       EXISTS (SELECT FROM pg_catalog.pg_class m WHERE m.relnamespace = c.relnamespace
               AND m.relname = ANY ('{{{",".join(sorted(MARKS))}}}')) AS beside_ours
FROM unnest($1::text[]) AS asked (name)
JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(asked.name)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""  # noqa: S608 - only the constants above are put into it
"""What some names of relations mean on the connection that will read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A relation as the server knows it.

    Attributes:
        schema: Its schema.
        name: Its name.
        beside_ours: Whether tables of ours are in the same schema.
    """

    schema: str
    name: str
    beside_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which relations SQL of others may name.

    Entries are ``schema``, ``schema.table`` and, hidden ones only, ``schema.table.column``.

    Attributes:
        ours: The schema of our own tables; nothing of ours can be read.
        readable: What may be read; None is everything that is not hidden.
        hidden: What may not; it goes before what is readable.
    """

    ours: str
    readable: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()

    @property
    def readable_schemas(self) -> list[str]:
        """The schemas of what is listed as readable."""
        return list(dict.fromkeys(entry.split(".")[0] for entry in self.readable or ()))

    @property
    def readable_tables(self) -> list[tuple[str, str]]:
        """The tables that are listed as readable."""
        return _tables(self.readable or ())

    @property
    def hidden_tables(self) -> list[tuple[str, str]]:
        """The tables that are listed as hidden as a whole."""
        return _tables(self.hidden)

    def names_in(self, schema: str) -> bool:
        """Return whether anything in a schema may be named."""
        listed = self.readable is None or schema in self.readable_schemas
        dedicated = schema == self.ours == DEFAULT_SCHEMA
        return listed and schema not in self.hidden and not dedicated

    def readable_columns(self, seen: Seen, columns: Sequence[str]) -> tuple[str, ...] | None:
        """Return the columns of a table that may be read: empty for all, None for none."""
        if self.refusal_of(seen) is not None:
            return None
        hidden = self.hidden_columns(seen.schema, seen.name)
        return tuple(column for column in columns if column not in hidden) if hidden else ()

    def hidden_columns(self, schema: str, table: str) -> frozenset[str]:
        """Return the columns of a table that may not be read."""
        start = f"{schema}.{table}."
        return frozenset(
            entry.removeprefix(start) for entry in self.hidden if entry.startswith(start)
        )

    def asks_about(self, touched: Touched) -> tuple[Relation, ...]:
        """Return the relations of a statement whose meaning has to be asked of the server."""
        if self.readable is not None or self.hidden:
            return touched.relations
        return tuple(relation for relation in touched.relations if self._may_be_ours(relation))

    def judge_names(self, touched: Touched) -> Refusal | None:
        """Judge the relations that name their schema: nobody has to be asked about those."""
        for relation in self.asks_about(touched):
            if relation.schema:
                beside = relation.schema == self.ours
                seen = Seen(schema=relation.schema, name=relation.name, beside_ours=beside)
                refusal = self.refusal_of(seen)
                if refusal is not None:
                    return refusal
        return None

    def judge(self, touched: Touched, seen: dict[str, Seen]) -> Refusal | None:
        """Judge what a statement touches.

        Args:
            touched: What it touches.
            seen: What its relations are, by `name_of`; one that is missing is no relation
                of the server's, and so a query of WITH, or the server's to refuse.
        """
        for relation in self.asks_about(touched):
            known = seen.get(name_of(relation))
            if known is None:
                continue
            refusal = self.refusal_of(known) or self._columns(relation, known, touched)
            if refusal is not None:
                return refusal
        return None

    def refusal_of(self, seen: Seen) -> Refusal | None:
        """Return why a relation may not be read, None where it may."""
        schema, name = seen.schema, seen.name
        table = f"{schema}.{name}"
        if schema in ("pg_catalog", "information_schema"):
            return None
        if self._is_ours(seen):
            return _refused(table, "it holds what the agent itself remembers")
        if schema in self.hidden or table in self.hidden:
            return _refused(table, "it is hidden")
        listed = self.readable is None or schema in self.readable or table in self.readable
        return None if listed else _refused(table, "it is not among what may be read")

    def _columns(self, relation: Relation, seen: Seen, touched: Touched) -> Refusal | None:
        hidden = self.hidden_columns(seen.schema, seen.name)
        named = hidden & touched.columns
        if named:
            return _refused(f"{seen.name}.{min(named)}", "the column is hidden")
        whole = touched.stars or relation.renames or {relation.alias, relation.name} & touched.rows
        if hidden and whole:
            return _refused(
                f"{seen.schema}.{seen.name}",
                f"it has hidden columns ({', '.join(sorted(hidden))}): name those you need",
            )
        return None

    def _may_be_ours(self, relation: Relation) -> bool:
        name = relation.name
        return relation.schema == self.ours or name in _LANGGRAPH or name.startswith(_PREFIXES)

    def _is_ours(self, seen: Seen) -> bool:
        if seen.schema == self.ours == DEFAULT_SCHEMA:
            return True
        if seen.name in _LANGGRAPH or seen.name.startswith("vec_"):
            return seen.beside_ours
        return seen.name.startswith("agentinfra_")


def name_of(relation: Relation) -> str:
    """Return a relation's name as ``to_regclass`` reads it."""
    name = quoted(relation.name)
    return f"{quoted(relation.schema)}.{name}" if relation.schema else name


def quoted(name: str) -> str:
    """Return a name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _tables(entries: Sequence[str]) -> list[tuple[str, str]]:
    parts = [entry.split(".") for entry in entries]
    return [(schema, rest[0]) for schema, *rest in parts if len(rest) == 1]


def _refused(what: str, why: str) -> Refusal:
    return Refusal(reason="relation", message=f"{what} is refused: {why}")
