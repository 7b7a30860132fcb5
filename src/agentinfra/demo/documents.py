"""The documents of the demo: a folder of texts, and the project's own where none is named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentinfra.errors import ConfigurationError

__all__ = ["SUFFIXES", "Document", "default_folder", "read_folder"]

SUFFIXES = (".md", ".rst", ".txt")

_LARGEST = 2_000_000
"""Bytes a document may have; what is larger is data, not prose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document.

    Attributes:
        path: Where it is in its folder, with slashes.
        text: What it says.
        digest: SHA-256 of the text; equal for equal documents.
    """

    path: str
    text: str
    digest: str


def default_folder() -> Path:
    """Return the folder of the project's own documents, in a wheel or in a checkout.

    Raises:
        ConfigurationError: There is none.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "docs", here.parents[3] / "docs"):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        "the project's own documents are not installed: name a folder with --docs PATH"
    )


def read_folder(folder: Path) -> tuple[Document, ...]:
    """Read every text in a folder and the folders in it; blocking.

    Hidden files, empty ones and those of more than two megabytes are passed over.

    Raises:
        ConfigurationError: There is no such folder, or no text in it.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(f"the folder {folder} {what}: give --docs a folder of documents")
    found = tuple(document for path in _texts(folder) if (document := _read(path, folder)))
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise ConfigurationError(
            f"the folder {folder} has no documents ({kinds}) with text in them"
        )
    return found


def _texts(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent) / name


def _read(path: Path, folder: Path) -> Document | None:
    if path.stat().st_size > _LARGEST:
        return None
    data = path.read_bytes()
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\0", "")
    if not text.strip():
        return None
    return Document(
        path=path.relative_to(folder).as_posix(), text=text, digest=hashlib.sha256(data).hexdigest()
    )
