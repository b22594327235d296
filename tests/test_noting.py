import asyncio

from evolve.archive.records import COUNTED, Addition, Note, Plan
from evolve.errors import ModelError
from evolve.insight import InsightConfig
from evolve.llm.stopping import Stopping
from evolve.noting import NoteTaker, read
from evolve.program import Outcome
from evolve.search import Finished


class Shelf:
    """Keeps notes in memory."""

    def __init__(self):
        self.notes, self.commits = [], 0

    def note(self, note):
        self.notes.append(note)

    def commit(self):
        self.commits += 1


class Slow:
    """Writes a note when it is told to."""

    def __init__(self):
        self.asked, self.answer = [], asyncio.Event()
        self.error = None

    async def write(self, tally, statistics, step):
        self.asked.append(step)
        await self.answer.wait()
        self.answer.clear()
        if self.error is not None:
            raise self.error
        return Note(0, 0, f"written at {step}", "openai/x")

    def stop(self):
        self.error = Stopping("the run is stopping")
        self.answer.set()

    async def close(self):
        pass


def taker(shelf, every=2, author=None, known=(), steps=100):
    return NoteTaker(InsightConfig(every=every), {}.__getitem__, shelf, steps=steps, known=known, author=author)


def go_on(notes, *steps, by="settled"):
    for step in steps:
        finished = Finished(Plan(step, step - 1, 0, "p", (), "a"), Outcome.EDIT_FAILED)
        getattr(notes, by)(finished, Addition(step, step, Outcome.EDIT_FAILED))


async def until_written():
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_counted_note_is_there_for_plans_of_its_version():
    shelf = Shelf()
    notes = taker(shelf)
    go_on(notes, 1, 2, 3, 4)
    assert [(note.about, note.version, note.source) for note in shelf.notes] == [(2, 2, COUNTED), (4, 4, COUNTED)]
    assert notes.text_at(1) == ""
    assert "Of 2 steps" in notes.text_at(2)
    assert notes.text_at(3) == notes.text_at(2)
    assert "Of 4 steps" in notes.text_at(99)


def test_zero_makes_no_notes():
    shelf = Shelf()
    go_on(taker(shelf, every=0), 1, 2, 3)
    assert shelf.notes == []


def test_a_model_s_note_counts_from_the_version_after_its_arrival_and_steps_go_on_meanwhile():
    async def scenario():
        shelf, author = Shelf(), Slow()
        notes = taker(shelf, author=author)
        go_on(notes, 1, 2)
        await until_written()
        go_on(notes, 3, 4, 5)
        assert (author.asked, shelf.notes) == ([2], [])  # one at a time: version 4 asks for none
        author.answer.set()
        await until_written()
        assert (shelf.notes, shelf.commits) == ([Note(2, 6, "written at 2", "openai/x")], 1)
        assert (notes.text_at(5), notes.text_at(6)) == ("", "written at 2")
        go_on(notes, 6)
        await until_written()
        assert author.asked == [2, 6]
        await notes.close()

    asyncio.run(scenario())


def test_a_model_that_fails_leaves_what_was_counted():
    async def scenario():
        shelf, author = Shelf(), Slow()
        notes, author.error = taker(shelf, author=author), ModelError("no such model")
        author.answer.set()
        go_on(notes, 1, 2)
        await notes.finish()
        [note] = shelf.notes
        assert (note.about, note.version, note.source, note.error) == (2, 3, COUNTED, "no such model")
        assert "Of 2 steps" in note.text

    asyncio.run(scenario())


def test_a_stopped_run_owes_a_note_that_is_counted_when_it_is_taken_up():
    async def stopped():
        shelf, author = Shelf(), Slow()
        notes = taker(shelf, author=author)
        go_on(notes, 1, 2, 3)
        await until_written()
        notes.stop()
        await notes.finish()
        assert shelf.notes == []

    asyncio.run(stopped())
    shelf = Shelf()
    notes = taker(shelf, author=Slow())
    go_on(notes, 1, 2, 3, by="folded")
    notes.restored()
    assert [(note.about, note.version, note.source) for note in shelf.notes] == [(3, 4, COUNTED)]


def test_a_note_that_is_there_is_not_made_again():
    shelf = Shelf()
    notes = taker(shelf, known=[Note(2, 2, "known")])
    go_on(notes, 1, 2, 3, by="folded")
    notes.restored()
    assert shelf.notes == []
    assert notes.text_at(3) == "known"


def test_no_note_is_owed_that_became_due_while_another_was_being_written():
    shelf, author = Shelf(), Slow()

    async def two_are_due_before_the_first_is_there():
        notes = taker(shelf, author=author)
        go_on(notes, 1, 2, 3, 4, 5)
        await until_written()
        author.answer.set()
        await notes.finish()

    asyncio.run(two_are_due_before_the_first_is_there())
    assert [(note.about, note.version) for note in shelf.notes] == [(2, 6)]
    later = taker(Shelf(), known=shelf.notes)
    go_on(later, 1, 2, 3, 4, 5, by="folded")
    later.restored()
    assert later.text_at(6) == "written at 2"


def test_a_note_is_owed_that_became_due_after_another_was_there():
    shelf = Shelf()
    notes = taker(shelf, known=[Note(2, 4, "known")])
    go_on(notes, 1, 2, 3, 4, 5, by="folded")
    notes.restored()
    assert [(note.about, note.version) for note in shelf.notes] == [(5, 6)]


def test_after_the_last_step_no_model_is_asked():
    shelf, author = Shelf(), Slow()
    go_on(taker(shelf, author=author, steps=2), 1, 2)
    assert author.asked == []
    assert [note.source for note in shelf.notes] == [COUNTED]


def test_recorded_notes_are_given_and_none_is_made():
    notes = NoteTaker.given([Note(2, 2, "first"), Note(4, 5, "second")])
    go_on(notes, *range(1, 9))
    assert [notes.text_at(version) for version in (1, 2, 4, 5)] == ["", "first", "first", "second"]


def test_of_an_answer_the_items_of_its_list_are_kept():
    answer = "Here are notes:\n- one `x`\n* two\n1. three\n- four\n- five\n- six\nbye"
    assert read(answer) == ["one 'x'", "two", "three", "four", "five"]
    assert read("no list\n\nat all") == ["no list", "at all"]
    assert read(" \n") == []
