"""The documents of the demo: a folder of texts, and the project's own where none is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentinfra.db import documents as reading
from agentinfra.db.documents import Document
from agentinfra.errors import ConfigurationError

__all__ = ["Document", "default_folder", "read_folder"]


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
    """Read every document in a folder and the folders in it; blocking.

    What cannot be used is passed over, and told: nobody's run ends because of one file among many.

    Args:
        folder: Where to look.
        skipped: Told of each file or folder that is left out, and why.

    Raises:
        ConfigurationError: There is no such folder, or no text in it.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(f"the folder {folder} {what}: give --docs a folder of documents")
    found = reading.read_folder(folder, lambda passed_over: skipped(str(passed_over)))
    if not any(document.data.strip() for document in found):
        endings = ", ".join(reading.ENDINGS)
        raise ConfigurationError(f"the folder {folder} has no documents ({endings}) in it")
    return tuple(found)
