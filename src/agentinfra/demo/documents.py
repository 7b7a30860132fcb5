"""The documents of the demo: a folder of texts, and the project's own where none is named."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
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


def read_folder(
    folder: Path, skipped: Callable[[str], None] = lambda _: None
) -> tuple[Document, ...]:
    """Read every text in a folder and the folders in it; blocking.

    Hidden files are passed over in silence. What cannot be used is passed over too, and told:
    nobody's run ends because of one file among many.

    Args:
        folder: Where to look.
        skipped: Told of each file or folder that is left out, and why.

    Raises:
        ConfigurationError: There is no such folder, or no text in it.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(f"the folder {folder} {what}: give --docs a folder of documents")
    found = []
    for path in _texts(folder, skipped):
        try:
            found.append(_read(path, folder))
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            skipped(f"{path}: {said or type(error).__name__}")
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise ConfigurationError(
            f"the folder {folder} has no documents ({kinds}) with text in them"
        )
    return tuple(found)


def _texts(folder: Path, skipped: Callable[[str], None]) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        skipped(f"{error.filename}: {error.strerror or type(error).__name__}")

    for parent, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent) / name


def _read(path: Path, folder: Path) -> Document:
    name = path.relative_to(folder).as_posix()
    if not name.isprintable():  # what is no UTF-8 is not printable either
        raise ValueError("has a name that cannot be shown: rename it")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited at for ever
        raise ValueError("is no file")
    if status.st_size > _LARGEST:
        raise ValueError(f"has more than {_LARGEST:,} bytes: cut it, or leave it out")
    data = path.read_bytes()
    text = _decoded(data)
    if not text.strip():
        raise ValueError("has no text in it")
    return Document(path=name, text=text, digest=hashlib.sha256(data).hexdigest())


def _decoded(data: bytes) -> str:
    """Return the text of a file: UTF-8 or UTF-16, as its mark says.

    Raises:
        ValueError: It is no text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    else:
        text = data.decode("utf-8-sig", "replace")
    if "\0" in text:
        raise ValueError("is no text: it holds zero bytes")
    return text.replace("\r\n", "\n")
