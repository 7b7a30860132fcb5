"""Reading and cutting documents: nothing is lost, headings are found, links name them."""

import pytest

from agentinfra.demo.documents import Document, default_folder, read_folder
from agentinfra.demo.passages import passages_of
from agentinfra.demo.word_search import WordIndex
from agentinfra.errors import ConfigurationError


def document(text: str, path: str = "a.md") -> Document:
    return Document(path=path, text=text, digest="")


def sources(text: str, path: str = "a.md") -> list[str]:
    return [passage.source for passage in passages_of(document(text, path))]


def test_headings_become_anchors():
    """Anchors are those of GitHub: lower case, dashes, a number behind the second of a kind."""
    text = "before\n# The `run` way!\nx\n## Go on\ny\n## Go on\nz\n"
    assert sources(text) == ["a.md", "a.md#the-run-way", "a.md#go-on", "a.md#go-on-1"]


def test_lists_of_links_are_left_out():
    """What only names other pages answers nothing; a sentence with links in it is kept."""
    index = "Guides: [retrieve](a.md), [keep to a budget](b.md), [serve it](c.md)."
    kept = "Read [this](a.md) before [that](b.md), because the pool is shared by [both](c.md)."
    [passage] = passages_of(document(f"# A\n\n{index}\n\n{kept}\n"))
    assert passage.text == "Read this before that, because the pool is shared by both."


def test_a_passage_knows_the_headings_above_it():
    """The trail of headings goes from the outermost to its own."""
    passages = passages_of(document("# A\n\n## B\n\n### C\n\ndeep\n\n## D\n\nnext\n"))
    assert [passage.heading for passage in passages] == ["A > B > C", "A > D"]


def test_what_looks_like_a_heading_in_code_is_none():
    """Lines in a fence are text, whatever they begin with, and keep their breaks."""
    text = "# A\n\n```bash\n# install\npip install x\n```\n\nafter\n"
    [passage] = passages_of(document(text))
    assert passage.text == "# install\npip install x\n\nafter"


def test_front_matter_comments_and_link_targets_are_left_out():
    """What nobody reads is not embedded."""
    text = "---\ntitle: x\n---\n# A\n<!-- note -->\nsee [the guide](guide.md#x) and ![p](p.png)\n"
    [passage] = passages_of(document(text))
    assert passage.text == "see the guide and p"


def test_wrapped_paragraphs_become_one_line():
    """The break of a wrapped line is a space; items and rows of tables keep their lines."""
    text = "# A\none\ntwo\n\n- first\n  still first\n- second\n\n| a | b |\n|---|---|\n"
    [passage] = passages_of(document(text))
    assert passage.text == "one two\n\n- first still first\n- second\n\n| a | b |\n|---|---|"


def test_restructured_text_is_cut_at_underlined_titles():
    """Levels follow from the order in which the underlines appear."""
    text = "=====\nTitle\n=====\n\nintro\n\nPart\n----\n\nbody\n\nOther\n-----\n\nend\n"
    passages = passages_of(document(text, "a.rst"))
    assert [(passage.heading, passage.text) for passage in passages] == [
        ("Title", "intro"),
        ("Title > Part", "body"),
        ("Title > Other", "end"),
    ]


@pytest.mark.parametrize("paragraph", ["word " * 2000, "x" * 9000, "line of text\n" * 700])
def test_long_sections_are_cut_and_nothing_is_lost(paragraph):
    """A passage is never longer than it may be, and together they say everything."""
    passages = passages_of(document(f"# A\n\n{paragraph}\n\nend\n"))
    assert max(len(passage.text) for passage in passages) < 1700
    assert len({passage.id for passage in passages}) == len(passages)
    kept = "".join(passage.text for passage in passages)
    assert "".join(kept.split()) == "".join(f"{paragraph}end".split())


def test_a_text_without_headings_is_one_source():
    """A plain text is quoted by its path alone."""
    assert sources("just text", "notes.txt") == ["notes.txt"]


@pytest.mark.parametrize("text", ["", "# Only a heading\n", "```\n", "---\n", "\n\n# A\n\n# B\n"])
def test_documents_without_text_give_nothing(text):
    """Headings alone are no passage."""
    assert [p for p in passages_of(document(text)) if p.text.strip("-")] == []


def test_a_folder_is_read_with_the_folders_in_it(handbook):
    """Paths have slashes and are sorted; equal files have equal digests."""
    found = read_folder(handbook)
    assert [document.path for document in found] == [
        "loyalty.txt",
        "refunds.md",
        "shipping.md",
        "warranty.rst",
        "staff/holidays.md",
        "staff/laptops.md",
    ]
    assert found == read_folder(handbook)


def test_a_missing_or_empty_folder_is_named(tmp_path):
    """The message names the folder and what it should hold."""
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / ".hidden.md").write_text("x")
    (tmp_path / "blank.md").write_text("\n")
    with pytest.raises(ConfigurationError, match=r"has no documents \(\.md, \.rst, \.txt\)"):
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
    passages = [p for document in read_folder(handbook) for p in passages_of(document)]
    index = WordIndex(passages)
    [best, *_] = index.search("Who repairs broken poles?", top_k=3)
    assert best.source == "warranty.rst#repairs"
    assert index.search("zebra", top_k=3) == []
    assert WordIndex([]).search("anything", top_k=3) == []
