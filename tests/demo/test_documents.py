"""The demo's folder of documents, and finding passages by their words."""

import pytest

from agentinfra.db.documents import chunks_of
from agentinfra.demo.documents import default_folder, read_folder
from agentinfra.demo.library import Passage
from agentinfra.demo.word_search import WordIndex
from agentinfra.errors import ConfigurationError


def test_a_missing_or_empty_folder_is_named(tmp_path):
    """The message names the folder and what it should hold."""
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / ".hidden.md").write_text("x")
    (tmp_path / "blank.md").write_text("\n")
    with pytest.raises(ConfigurationError, match=r"has no documents \(\.md, "):
        read_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="is a file"):
        read_folder(tmp_path / "picture.png")


def test_the_projects_own_documents_are_there():
    """Without a folder the demo answers from the project's documents."""
    assert read_folder(default_folder())


def test_words_find_the_passage_that_has_them(handbook):
    """Rare words decide, and a question without any shared word finds nothing."""
    passages = [
        Passage(source=chunk.source, heading=chunk.heading, text=chunk.text)
        for document in read_folder(handbook)
        for chunk in chunks_of(document)
    ]
    index = WordIndex(passages)
    [best, *_] = index.search("Who repairs broken poles?", top_k=3)
    assert best.source == "warranty.rst#repairs"
    assert index.search("zebra", top_k=3) == []
    assert WordIndex([]).search("anything", top_k=3) == []
