"""Questions about documents: the answer quotes the right place."""

import shutil

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = {
    "How long can unused items be returned?": (
        "refunds.md#how-long-you-can-return-things",
        "45 days",
    ),
    "When is a refund paid?": ("refunds.md#when-the-money-arrives", "5 business days"),
    "What do express parcels cost?": ("shipping.md#express", "14.90"),
    "Who delivers kayaks and roof boxes?": ("shipping.md#bulky-goods", "forwarding agent"),
    "When is shipping free of charge?": ("shipping.md#shipping", "80 euros"),
    "How long is the warranty on seams and zippers?": ("warranty.rst#warranty", "ten years"),
    "How long does a repair in the workshop take?": ("warranty.rst#repairs", "two weeks"),
    "Is damage from campfires covered?": ("warranty.rst#what-is-not-covered", "not covered"),
    "What happens to unused vacation days?": ("staff/holidays.md#holidays", "end of March"),
    "Who approves requested vacation?": (
        "staff/holidays.md#requesting-vacation",
        "team lead",
    ),
    "What has to be done about lost laptops?": ("staff/laptops.md#laptops", "security"),
    "How many characters do passwords have?": ("staff/laptops.md#passwords", "sixteen"),
    "What are the points of the Summit club worth?": ("loyalty.txt", "voucher of 25 euros"),
}


@pytest.mark.parametrize("question", PLACES)
async def test_the_right_place_is_quoted(team, question):
    """The answer says what the document says, and names its path and heading."""
    source, words = PLACES[question]
    answer = await team.ask(question, thread_id=question)
    assert answer.agent == "knowledge"
    assert answer.sources[0] == source
    assert words in answer.answer
    assert f"[{source}]" in answer.answer
    assert answer.sql is None
    assert answer.rows == ()
    assert answer.degraded is None


async def test_what_no_document_says_is_handed_over(team, rt):
    """An agent that finds nothing gives the question to the other one, which is counted."""
    answer = await team.ask("Why are there so few zebras?", thread_id="zebras")
    counted = 'routing_fallbacks_total{from_agent="knowledge",to_agent="analytics"} 1'
    assert counted in rt.metrics.expose()
    assert answer.agent == "analytics"


async def test_changed_documents_alone_are_embedded_again(server, rt, gather, handbook, tmp_path):
    """What changes is embedded anew, what goes is forgotten, what stays is left alone."""
    folder = tmp_path / "documents"
    shutil.copytree(handbook, folder)
    first = await gather(rt, folder)
    before = server.ledger.count(path="/v1/embeddings")
    same = await gather(rt, folder)
    assert server.ledger.count(path="/v1/embeddings") == before

    (folder / "loyalty.txt").write_text("The loyalty club is called Peak.")
    (folder / "shipping.md").unlink()
    changed = await gather(rt, folder)
    assert server.ledger.count(path="/v1/embeddings") == before + 1

    old = await first.ask("What is the loyalty club called?", thread_id="club")
    new = await changed.ask("What is the loyalty club called?", thread_id="club again")
    assert "Summit" in old.answer or "Peak" in old.answer
    assert "Peak" in new.answer
    gone = await changed.ask("What do express parcels cost?", thread_id="gone")
    assert "shipping.md" not in " ".join(gone.sources)
    assert len(same.described) > 0
