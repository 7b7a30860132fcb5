"""Reading and cutting documents: nothing is lost, headings are found, links name them."""

from __future__ import annotations

import itertools

import pytest

from agentinfra.db.documents import Chunk, Chunking, Document, UnreadableError, chunks_of
from agentinfra.db.documents.chunks import tokens_of
from agentinfra.db.documents.reading import Deadline, kind_of
from agentinfra.errors import VectorError

ALL = Chunking(overlap=0)


def document(text: str | bytes, name: str = "a.md") -> Document:
    data = text if isinstance(text, bytes) else text.encode()
    return Document(name=name, kind=kind_of(name) or "text", data=data)


def chunks(text: str | bytes, name: str = "a.md", chunking: Chunking = ALL) -> list[Chunk]:
    return chunks_of(document(text, name), chunking)


def sources(text: str, name: str = "a.md") -> list[str]:
    return [chunk.source for chunk in chunks(text, name)]


def test_headings_become_anchors():
    """Anchors are those of GitHub: lower case, dashes, a number behind the second of a kind."""
    text = "before\n# The `run` way!\nx\n## Go on\ny\n## Go on\nz\n"
    assert sources(text) == ["a.md", "a.md#the-run-way", "a.md#go-on", "a.md#go-on-1"]


def test_lists_of_links_are_left_out():
    """What only names other pages answers nothing; a sentence with links in it is kept."""
    index = "Guides: [retrieve](a.md), [keep to a budget](b.md), [serve it](c.md)."
    kept = "Read [this](a.md) before [that](b.md), because the pool is shared by [both](c.md)."
    [chunk] = chunks(f"# A\n\n{index}\n\n{kept}\n")
    assert chunk.text == "Read this before that, because the pool is shared by both."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "# A\n\n## B\n\n### C\n\ndeep\n\n## D\n\nnext\n"),
        ("a.html", "<h1>A</h1><h2>B</h2><div><h3>C</h3>deep</div><h2>D</h2><p>next"),
        (
            "a.rst",
            "A\n=\n\nB\n-\n\nC\n~\n\ndeep\n\nD\n-\n\nnext\n".replace("=", "===")
            .replace("-", "---")
            .replace("~", "~~~"),
        ),
    ],
)
def test_a_chunk_knows_the_headings_above_it(name, text):
    """The trail of headings goes from the outermost to its own, in every kind of document."""
    found = [(chunk.heading, chunk.text, chunk.anchor) for chunk in chunks(text, name)]
    assert found == [("A > B > C", "deep", "c"), ("A > D", "next", "d")]


def test_what_looks_like_a_heading_in_code_is_none():
    """Lines in a fence are text, whatever they begin with, and keep their breaks."""
    text = "# A\n\n```bash\n# install\npip install x\n```\n\nafter\n"
    [chunk] = chunks(text)
    assert chunk.text == "# install\npip install x\n\nafter"


def test_front_matter_comments_and_link_targets_are_left_out():
    """What nobody reads is not embedded."""
    text = "---\ntitle: x\n---\n# A\n<!-- note -->\nsee [the guide](guide.md#x) and ![p](p.png)\n"
    [chunk] = chunks(text)
    assert chunk.text == "see the guide and p"


def test_wrapped_paragraphs_become_one_line():
    """The break of a wrapped line is a space; items and rows of tables keep their lines."""
    text = "# A\none\ntwo\n\n- first\n  still first\n- second\n\n| a | b |\n|---|---|\n"
    [chunk] = chunks(text)
    assert chunk.text == "one two\n\n- first still first\n- second\n\n| a | b |\n|---|---|"


def test_items_in_items_stand_further_in():
    """Lists in lists keep their shape, and numbers their marks."""
    [chunk] = chunks("1. one\n2. two\n   - deep\n\n     again\n")
    assert chunk.text == "1. one\n2. two\n  - deep\n    again"


def test_restructured_text_is_cut_at_underlined_titles():
    """Levels follow from the order in which the underlines appear."""
    text = "=====\nTitle\n=====\n\nintro\n\nPart\n----\n\nbody\n\nOther\n-----\n\nend\n"
    assert [(chunk.heading, chunk.text) for chunk in chunks(text, "a.rst")] == [
        ("Title", "intro"),
        ("Title > Part", "body"),
        ("Title > Other", "end"),
    ]


def test_a_page_says_what_its_own_text_says():
    """Of a page the frame around it, scripts and comments are no text; lists and rows are."""
    text = """<!doctype html><html><head><title>T</title><style>p{}</style></head><body>
    <nav><a href=1>Home</a></nav><main><h1 id="top">The <em>page</em></h1>
    <p>One <b>two</b><br>three &amp; four</p><script>no()</script><!-- no -->
    <ul><li><p>first</p></li><li>second</li></ul>
    <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
    <pre>  keep\n   this</pre></main><footer>imprint</footer></body></html>"""
    [chunk] = chunks(text, "a.html")
    assert chunk.source == "a.html#top"
    assert chunk.heading == "The page"
    assert chunk.text == (
        "One two\nthree & four\n\n- first\n- second\n\na | b\n1 | 2\n\n  keep\n   this"
    )


@pytest.mark.parametrize(
    "data",
    [
        '<meta charset="iso-8859-1"><p>Gr\xfc\xdfe'.encode("latin-1"),
        "<p>Gr\xfc\xdfe".encode(),
        "<p>Gr\xfc\xdfe".encode("utf-16"),
        '<meta charset="hex"><p>Gr\xfc\xdfe'.encode(),
    ],
)
def test_pages_are_read_in_their_own_characters(data):
    """What a page says of its character set holds, where it is one."""
    assert chunks(data, "a.html")[0].text == "Gr\xfc\xdfe"


def test_a_page_nested_without_end_is_read():
    """No depth of elements is too deep."""
    assert chunks("<div>" * 20_000 + "here", "a.html")[0].text == "here"


def pdf(*pages: str, outline: bool = True) -> bytes:
    """Write a PDF by hand, a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>", "", _FONT, ""]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> >> "
            f"/MediaBox [0 0 612 792] /Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title (Second) /Parent 4 0 R /Dest [{kids[-1]} /Fit] >>")
    here = f"{len(objects)} 0 R"
    objects[3] = f"<< /First {here} /Last {here} /Count 1 >>" if outline else "<< >>"
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return body + head.encode() + trailer.encode()


_FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def test_pages_of_a_pdf_stand_under_their_outline():
    """Each page is named by its number, and knows the heading that begins on it or before."""
    found = chunks(pdf("first words", "second words"), "a.pdf")
    assert [(chunk.source, chunk.heading, chunk.text) for chunk in found] == [
        ("a.pdf#page=1", "", "first words"),
        ("a.pdf#page=2", "Second", "second words"),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "PDF"), (b"%PDF-1.4 no", "PDF"), (pdf("")[:-200], "PDF|text"), (pdf(""), "pictures")],
)
def test_a_pdf_that_cannot_be_read_says_why(data, reason):
    """Broken files and scanned pages are refused with a reason, whatever the parser makes of it."""
    with pytest.raises(UnreadableError, match=reason):
        chunks(data, "a.pdf")


@pytest.mark.parametrize(
    "paragraph",
    ["word " * 2000, "x" * 9000, "line of text\n" * 700, "Is it. " * 900, "\u6f22" * 3000],
)
def test_long_sections_are_cut_and_nothing_is_lost(paragraph):
    """A chunk is never longer than it may be, and together they say everything."""
    found = chunks(f"# A\n\n{paragraph}\n\nend\n")
    assert max(tokens_of(chunk.text) for chunk in found) <= 400
    assert len(found) < 2 * tokens_of(paragraph) / 400 + 2
    assert [chunk.number for chunk in found] == list(range(len(found)))
    kept = "".join(chunk.text for chunk in found)
    assert "".join(kept.split()) == "".join(f"{paragraph}end".split())


def test_a_chunk_begins_with_the_end_of_the_one_before():
    """Whole sentences are repeated, as many as the overlap has room for."""
    sentences = [f"Sentence number {n} is here." for n in range(40)]
    found = chunks(f"# A\n\n{' '.join(sentences)}\n", chunking=Chunking(tokens=64, overlap=16))
    assert len(found) > 5
    for before, after in itertools.pairwise(found):
        repeated = [one for one in sentences if one in before.text and one in after.text]
        assert repeated
        assert after.text.startswith(repeated[0])
        assert before.text.endswith(repeated[-1])
        assert tokens_of(after.text) <= 64


def test_nothing_is_repeated_across_headings():
    """A section begins with its own words."""
    found = chunks("# A\n\none two\n\n# B\n\nthree\n", chunking=Chunking(overlap=100))
    assert [chunk.text for chunk in found] == ["one two", "three"]


def test_tokens_are_counted_by_who_knows_the_model():
    """A tokenizer of the caller's decides how long a chunk is."""
    words = Chunking(tokens=16, overlap=0, count=lambda text: len(text.split()))
    found = chunks(f"# A\n\n{'word ' * 160}\n", chunking=words)
    assert [len(chunk.text.split()) for chunk in found] == [16] * 10


@pytest.mark.parametrize(
    "numbers", [{"tokens": 15}, {"tokens": 9000}, {"overlap": 201}, {"overlap": -1}]
)
def test_impossible_sizes_are_refused(numbers):
    """The message names the number and its range."""
    with pytest.raises(VectorError, match=str(next(iter(numbers.values())))):
        Chunking(**numbers)


def test_a_text_without_headings_is_one_source():
    """A plain text is quoted by its name alone."""
    assert sources("just text", "notes.txt") == ["notes.txt"]


@pytest.mark.parametrize("text", ["", "# Only a heading\n", "```\n", "---\n", "\n\n# A\n\n# B\n"])
def test_documents_without_text_give_nothing(text):
    """Headings alone are no chunk."""
    assert chunks(text) == []


def test_what_takes_too_long_is_given_up():
    """Reading has an end, which is looked at between the parts of a document."""
    with pytest.raises(UnreadableError, match="longer than 0 seconds"):
        chunks_of(document("# A\n\ntext"), ALL, Deadline(seconds=0))
