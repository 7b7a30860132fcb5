# ruff: noqa: S608 - names are checked and quoted, values are bound
"""Where collections live: a table each, and one table that says what each was made with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agentinfra.db.vectors.records import MAX_DIMENSIONS
from agentinfra.db.vectors.values import shown
from agentinfra.errors import DimensionMismatchError, EmbeddingModelMismatchError, VectorError

__all__ = [
    "TEXT_CONFIGURATION",
    "Collection",
    "Form",
    "Site",
    "Wish",
    "check_name",
    "create",
    "drop",
    "has_rows",
    "hold",
    "load",
    "lock",
    "rename",
    "unnamed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What an index holds of vectors, which it can only hold so long.

    Attributes:
        type: The type of it.
        operators: The index's class of operators.
        operator: Its distance.
        dimensions: The longest vectors it is used for.
        size: Bytes a dimension.
        spare: How many times the candidates it has to give, which are then compared exactly.
    """

    type: str
    operators: str
    operator: str
    dimensions: int
    size: float
    spare: int


_FORMS = (
    Form(
        type="vector",
        operators="vector_cosine_ops",
        operator="<=>",
        dimensions=2_000,
        size=4,
        spare=1,
    ),
    Form(
        type="halfvec",
        operators="halfvec_cosine_ops",
        operator="<=>",
        dimensions=4_000,
        size=2,
        spare=2,
    ),
    Form(
        type="bit",
        operators="bit_hamming_ops",
        operator="<~>",
        dimensions=MAX_DIMENSIONS,
        size=1 / 8,
        spare=20,
    ),
)
"""Full vectors, half precision, and the signs alone, by length."""

TEXT_CONFIGURATION = "english"
"""How words are cut for hybrid search: English stems; words of other languages stay whole."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_SCHEMA_LOCK = 6_418_237_905_113  # any number, as long as every process takes the same
_LONGEST_INDEXED_TEXT = 250_000  # characters; a tsvector holds at most 1 MB

_COLUMNS = "name, dimensions, model, asked_model, asked_dimensions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the embedder is asked for; None leaves it to the embedder.

    A collection remembers the model that made it and the dimensions it was asked for, so that
    queries are embedded alike whatever the embedder's default becomes.
    """

    model: str | None = None
    dimensions: int | None = None

    def or_else(self, other: Wish | None) -> Wish:
        """Return this wish, and the other's where this one has none."""
        if other is None:
            return self
        return Wish(model=self.model or other.model, dimensions=self.dimensions or other.dimensions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where collections are in a database; nothing depends on the search path.

    Attributes:
        schema: The schema of their tables, quoted.
        pgvector: The schema of pgvector, quoted.
    """

    schema: str
    pgvector: str

    @property
    def bare_schema(self) -> str:
        """The schema as it is called, for what quotes it itself."""
        return self.schema.strip('"').replace('""', '"')

    @property
    def registry(self) -> str:
        """The table that says what each was made with."""
        return f"{self.schema}.agentinfra_collections"

    @property
    def nearness(self) -> str:
        """The operator of cosine distance."""
        return f"OPERATOR({self.pgvector}.<=>)"

    def table(self, name: str) -> str:
        """Return the quoted table of a collection."""
        return f'{self.schema}."vec_{name}"'

    def type(self, name: str, dimensions: int) -> str:
        """Return one of pgvector's types."""
        return f"{self.pgvector}.{name}({dimensions})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What is known of a collection.

    Attributes:
        site: Where it is.
        name: Its name.
        dimensions: Length of its vectors.
        model: The model that made them; None where nobody said.
        wish: What the embedder was asked for when it was created.
    """

    site: Site
    name: str
    dimensions: int
    model: str | None = None
    wish: Wish = Wish()

    @property
    def table(self) -> str:
        """Its table, quoted."""
        return self.site.table(self.name)

    def index(self, what: str) -> str:
        """Return the name of one of its indexes, quoted; no collection's table is called so."""
        return f'"vecidx_{self.name}_{what}"'

    @property
    def bare_table(self) -> str:
        """Its table as it is called, for what quotes it itself."""
        return f"vec_{self.name}"

    @property
    def words(self) -> str:
        """The words of a row: those that were kept, else those of its text."""
        return f"coalesce(tsv, {self.words_of('text')})"

    @staticmethod
    def words_of(text: str) -> str:
        """Return the SQL of the words of a text."""
        return f"to_tsvector('{TEXT_CONFIGURATION}', left({text}, {_LONGEST_INDEXED_TEXT}))"

    @property
    def form(self) -> Form:
        """What its index holds of its vectors."""
        return next(form for form in _FORMS if self.dimensions <= form.dimensions)

    @property
    def indexed_expression(self) -> str:
        """What its index is on."""
        return self._shortened("embedding")

    def rough_distance(self, vector: str) -> str:
        """Return the distance its index orders by; exact where that holds the vectors whole."""
        operator = f"OPERATOR({self.site.pgvector}.{self.form.operator})"
        return f"{self._shortened('embedding')} {operator} {self._shortened(vector)}"

    def _shortened(self, vector: str) -> str:
        kind, place = self.form.type, self.site.pgvector
        if kind == "vector":
            return vector
        if kind == "halfvec":
            return f"({vector}::{self.site.type('halfvec', self.dimensions)})"
        return f"({place}.binary_quantize({vector})::bit({self.dimensions}))"

    def check_dimensions(self, dimensions: int, whose: str) -> None:
        """Refuse vectors of another length.

        Raises:
            DimensionMismatchError: They are longer or shorter.
        """
        if dimensions != self.dimensions:
            raise DimensionMismatchError(
                f"collection {self.name!r} holds vectors of {self.dimensions} dimensions and "
                f"{whose} has {dimensions}: embed with dimensions={self.dimensions}, or use "
                "another collection"
            )

    def check_model(self, model: str | None, degraded: str | None = None) -> None:
        """Refuse vectors of another model; distances between two models mean nothing.

        Raises:
            EmbeddingModelMismatchError: Both models are known and differ.
            VectorError: They are a fallback's, and nobody said what made the collection.
        """
        if model is not None and self.model is not None and model != self.model:
            why = f" ({degraded})" if degraded else ""
            raise EmbeddingModelMismatchError(
                f"collection {self.name!r} was made with {self.model!r} and this embedding with "
                f"{model!r}{why}: use one model for both, or another collection"
            )
        if degraded and self.model is None:
            raise VectorError(
                f"collection {self.name!r} takes no fallback vectors beside those of an unnamed "
                f"model ({degraded})"
            )


def check_name(name: Any) -> None:
    """Refuse what cannot name a collection.

    Raises:
        VectorError: The name cannot be one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise VectorError(
            f"{shown(name)} cannot name a collection: use up to 40 letters, digits, '-' and '_', "
            "beginning with a letter or digit"
        )


async def load(connection: Any, site: Site, name: str) -> Collection | None:
    """Return what is known of a collection, None when it does not exist.

    Raises an undefined-table error of the server where no collection was ever created.
    """
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM {site.registry} WHERE name = $1", name)
    return None if row is None else _collection(site, row)


async def hold(
    connection: Any, site: Site, name: str, model: str | None, *, made_from_texts: bool
) -> Collection | None:
    """Return a collection and keep it from being dropped until the transaction ends.

    A collection whose model nobody named takes this one; one that has vectors already takes only
    the word of a caller, for the embedder knows nothing of them.

    Raises:
        VectorError: It holds vectors nobody named, and these are the embedder's.
    """
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM {site.registry} WHERE name = $1 FOR KEY SHARE", name
    )
    if row is not None and row["model"] is None and model is not None:
        if made_from_texts and await has_rows(connection, site, name):
            raise unnamed(name)
        row = await connection.fetchrow(
            f"UPDATE {site.registry} SET model = coalesce(model, $2), "
            f"asked_model = coalesce(asked_model, model, $2) WHERE name = $1 RETURNING {_COLUMNS}",
            name,
            model,
        )
    return None if row is None else _collection(site, row)


async def has_rows(connection: Any, site: Site, name: str) -> bool:
    """Return whether a collection holds anything."""
    return bool(await connection.fetchval(f"SELECT EXISTS (SELECT FROM {site.table(name)})"))


def unnamed(name: str) -> VectorError:
    """Return the error for texts beside vectors of which nobody knows the model."""
    return VectorError(
        f"nobody said which model made the vectors of collection {name!r}, so no text can be "
        "compared with them: name it once, as in upsert(records, embeddings=..., model=...)"
    )


async def create(connection: Any, wanted: Collection) -> Collection:
    """Create a collection unless it exists, and return what is there.

    Processes that create the same one at the same time come one after the other. Call it in a
    transaction of its own.
    """
    site = wanted.site
    await lock(connection)
    await connection.execute(_table(wanted))
    await connection.execute(
        f"INSERT INTO {site.registry} ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING",
        wanted.name,
        wanted.dimensions,
        wanted.model,
        wanted.wish.model,
        wanted.wish.dimensions,
    )
    found = await load(connection, site, wanted.name)
    return wanted if found is None else found


async def drop(connection: Any, site: Site, name: str) -> None:
    """Remove a collection, if there is one. Call it in a transaction of its own."""
    await lock(connection)
    await connection.execute(f"DELETE FROM {site.registry} WHERE name = $1", name)
    await connection.execute(f"DROP TABLE IF EXISTS {site.table(name)}")


async def lock(connection: Any) -> None:
    """Let no collection come, go or change its name until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)


async def rename(connection: Any, collection: Collection, name: str) -> None:
    """Put a collection in the place of one whose table is gone. Call it under `lock`."""
    site = collection.site
    bare = site.table(name).removeprefix(f"{site.schema}.")
    await connection.execute(f"ALTER TABLE {collection.table} RENAME TO {bare}")
    await connection.execute(f"DELETE FROM {site.registry} WHERE name = $1", collection.name)
    await connection.execute(
        f"UPDATE {site.registry} SET dimensions = $2, model = $3, asked_model = $4, "
        "asked_dimensions = $5 WHERE name = $1",
        name,
        collection.dimensions,
        collection.model,
        collection.wish.model,
        collection.wish.dimensions,
    )


def _collection(site: Site, row: Any) -> Collection:
    return Collection(
        site=site,
        name=row["name"],
        dimensions=row["dimensions"],
        model=row["model"],
        wish=Wish(model=row["asked_model"], dimensions=row["asked_dimensions"]),
    )


def _table(collection: Collection) -> str:
    """Return what makes a collection's table; what searches need beside it is built later."""
    return f"""
    CREATE TABLE IF NOT EXISTS {collection.table} (
        id text CONSTRAINT {collection.index("id")} PRIMARY KEY,
        text text NOT NULL,
        metadata jsonb NOT NULL,
        embedding {collection.site.type("vector", collection.dimensions)} NOT NULL,
        tsv tsvector,
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """
