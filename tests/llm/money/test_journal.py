"""What a process writes down for those who come after it."""

import os
from decimal import Decimal

import pytest

from agentinfra.llm.money.journal import Entry, Journal, read_entries


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journals"


def entries(folder, name):
    with read_entries(folder, name) as found:
        return set(found.values())


def test_what_is_written_last_is_found(folder):
    """Of each lease how it stood, to the last digit; and then the file is gone."""
    journal = Journal(folder, "p")
    one, other = journal.page(), journal.page()
    for spent in range(5):
        one.write("p.1", Decimal(spent) / 1000, Decimal("0.1234567890123"))
    other.write("p.2", Decimal(0), Decimal("1E-7"))
    journal.close(keep=True)
    assert entries(folder, "p") == {
        Entry("p.1", Decimal("0.004"), Decimal("0.1234567890123")),
        Entry("p.2", Decimal(0), Decimal("1E-7")),
    }
    assert list(folder.iterdir()) == []


def test_nothing_is_read_of_a_process_that_lives(folder):
    """It goes on spending: what it has written is old when it is read."""
    journal = Journal(folder, "p")
    journal.page().write("p.1", Decimal(1), Decimal(1))
    assert entries(folder, "p") == set()
    assert len(list(folder.iterdir())) == 1
    journal.close(keep=False)
    assert list(folder.iterdir()) == []


def test_two_do_not_read_it_at_once(folder):
    """What is booked twice at the same moment would be booked by nobody in between."""
    Journal(folder, "p").close(keep=True)
    with read_entries(folder, "p"):
        assert entries(folder, "p") == set()


def test_what_could_not_be_booked_is_kept(folder):
    """The next one who comes finds it again."""
    journal = Journal(folder, "p")
    journal.page().write("p.1", Decimal(1), Decimal(1))
    journal.close(keep=True)
    with pytest.raises(ZeroDivisionError), read_entries(folder, "p") as found:
        assert found
        raise ZeroDivisionError
    assert len(entries(folder, "p")) == 1


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_process_that_was_killed_while_it_wrote_left_what_was_before(folder, cut):
    """A page has two copies, and one that is not whole is none."""
    journal = Journal(folder, "p")
    page = journal.page()
    page.write("p.1", Decimal(1), Decimal(2))
    (path,) = folder.iterdir()
    before = path.read_bytes()
    page.write("p.1", Decimal(3), Decimal(4))
    after = path.read_bytes()
    journal.close(keep=True)
    begins = next(i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y)
    torn = after[: begins + cut] + before[begins + cut :]
    path.write_bytes(torn)
    assert entries(folder, "p") <= {
        Entry("p.1", Decimal(1), Decimal(2)),
        Entry("p.1", Decimal(3), Decimal(4)),
    }


def test_pages_are_given_out_again(folder):
    """Many leases one after the other need no more room than one."""
    journal = Journal(folder, "p")
    for number in range(1000):
        page = journal.page()
        page.write(f"p.{number}", Decimal(number), Decimal(0))
        journal.free(page)
    (path,) = folder.iterdir()
    assert path.stat().st_size <= 65_536
    journal.close(keep=True)
    assert [entry.lease for entry in entries(folder, "p")] == ["p.999"]


def test_pages_beyond_the_first_file_full_are_read_too(folder):
    """The file grows, and what was mapped before stays where it is."""
    journal = Journal(folder, "p")
    pages = [journal.page() for _ in range(100)]
    for number, page in enumerate(pages):
        page.write(f"p.{number}", Decimal(number), Decimal(0))
    journal.close(keep=True)
    assert sum(entry.spent for entry in entries(folder, "p")) == sum(range(100))


@pytest.mark.parametrize("data", [b"", b"x" * 10, b"\xff" * 9000, os.urandom(8192)])
def test_a_file_that_says_nothing_is_nothing(folder, data):
    """Whatever is in it is read leniently, and does no harm."""
    folder.mkdir()
    (folder / "p.leases").write_bytes(data)
    assert entries(folder, "p") == set()


def test_a_folder_of_somebody_else_is_not_used(folder, tmp_path):
    """Who may write there could tell the ledger what we have spent."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    folder.mkdir()
    os.chown(folder, 12_345, 12_345)
    with pytest.raises(PermissionError, match="another user"):
        Journal(folder, "p")
