"""Documents into collections: read, cut at their headings, embedded, kept up to date."""

from agentinfra.db.documents.chunks import Chunk, Chunking, chunks_of
from agentinfra.db.documents.ingesting import Ingested, Progress
from agentinfra.db.documents.reading import KINDS, UnreadableError
from agentinfra.db.documents.sources import Document, PassedOver, read_folder

__all__ = [
    "ENDINGS",
    "Chunk",
    "Chunking",
    "Document",
    "Ingested",
    "PassedOver",
    "Progress",
    "UnreadableError",
    "chunks_of",
    "read_folder",
]

ENDINGS = tuple(ending for endings in KINDS.values() for ending in endings)
"""The endings of files that are read."""
