import json

import pytest

from evolve.archive.records import CallBegun, CallEnded
from evolve.draft_journal import NAME, Attempt, Journal
from evolve.errors import ArchiveError, ConfigError
from evolve.mutation import Complaint
from evolve.program import Outcome, Reply

REPLY = Reply("x = 1", prompt='[["user", "Write."]]', request_sha256="abc")


def test_a_reply_is_known_until_something_came_of_it(tmp_path):
    journal = Journal(tmp_path)
    journal.replied(0, "openai/x", REPLY)
    for reader in (journal, Journal(tmp_path)):
        assert reader.answered("abc") == REPLY
        assert reader.settled == 0
    journal.came_to(Attempt(0, Outcome.CRASHED, "no"), "question", "abc")
    for reader in (journal, Journal(tmp_path)):
        assert reader.answered("abc") is None
        assert reader.settled == 1
        assert reader.complaints("question") == (Complaint("no", "x = 1"),)
        assert reader.complaints("another") == ()


def test_calls_are_counted_and_one_that_never_ended_counts_in_full(tmp_path):
    journal = Journal(tmp_path)
    journal.began(CallBegun(0, 2, 0, "openai/x", 0.5))
    journal.ended(CallEnded(0, 2, 0, "ok", usd=0.125))
    journal.began(CallBegun(0, 2, 1, "openai/x", 0.5))
    for reader in (journal, Journal(tmp_path)):
        assert (reader.number(0, 2), reader.number(0, 0)) == (2, 0)
        assert reader.usd == 0.625


def test_a_line_that_was_cut_short_or_edited_spoils_no_other(tmp_path):
    Journal(tmp_path).replied(0, "openai/x", REPLY)
    path = tmp_path / NAME
    odd = ["[1]", "null", '{"what": "end"}', '{"what": "reply", "text": 3}', '{"what": "other"}', '{"who": 1}', "{"]
    path.write_text("\n".join([*odd, path.read_text() + path.read_text()[:30]]))
    journal = Journal(tmp_path)
    journal.came_to(Attempt(0, Outcome.CRASHED, "no"), "question", "abc")
    assert json.loads(path.read_text().splitlines()[-1])["what"] == "result"
    assert Journal(tmp_path).complaints("question") == (Complaint("no", "x = 1"),)


def test_a_journal_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigError, match=NAME):
        Journal(tmp_path)


def test_a_journal_that_can_be_written_no_more_stops_the_call(tmp_path):
    journal = Journal(tmp_path)
    journal.path.unlink()
    journal.path.mkdir()
    with pytest.raises(ArchiveError, match="no more is asked"):
        journal.began(CallBegun(0, 0, 0, "openai/x", 0.5))
