import asyncio
import logging

import numpy as np
import pytest

from evolve.embedding import ByModel, OnTheSpot
from evolve.errors import ModelError
from evolve.llm.stopping import Stopping

FILES = {"a.py": "A = 1\n# EVOLVE-BLOCK-START\nx = 2\n# EVOLVE-BLOCK-END\n"}


class Scripted:
    """Answers or fails in turn."""

    def __init__(self, *answers):
        self.answers, self.asked, self.stopped = list(answers), [], False

    async def of(self, batch, step, attempt):
        self.asked.append((batch, step, attempt))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [np.array(answer)]

    def stop(self):
        self.stopped = True


class Journal:
    def __init__(self):
        self.failures = []

    def unembedded(self, step, attempt, why):
        self.failures.append((step, attempt, why))


def of(embeds, step=1, attempt=0):
    return asyncio.run(embeds.of(FILES, step, attempt))


def test_a_model_is_given_the_text_that_may_change():
    vectors = Scripted([1.0])
    assert of(ByModel(vectors, Journal()), 4, 2).tolist() == [1.0]
    [([files], step, attempt)] = vectors.asked
    assert (files, step, attempt) == ({"a.py": "x = 2\n"}, 4, 2)


def test_failures_are_taken_down_and_said_once(caplog):
    journal = Journal()
    embeds = ByModel(Scripted(ModelError("it is down"), ModelError("it is down"), [1.0]), journal)
    with caplog.at_level(logging.WARNING):
        assert [of(embeds, step) is None for step in (1, 2, 3)] == [True, True, False]
    assert journal.failures == [(1, 0, "it is down"), (2, 0, "it is down")]
    assert [record.message for record in caplog.records if "identity alone" in record.message] == [caplog.records[0].message]


def test_what_was_not_embedded_once_is_not_asked_about_again():
    vectors = Scripted()
    assert of(ByModel(vectors, Journal(), [(1, 0)])) is None
    assert vectors.asked == []


def test_a_run_that_stops_is_no_failure():
    journal = Journal()
    with pytest.raises(Stopping):
        of(ByModel(Scripted(Stopping("the run is stopping")), journal))
    assert journal.failures == []


def test_stopping_reaches_the_model():
    vectors = Scripted()
    ByModel(vectors, Journal()).stop()
    assert vectors.stopped


def test_an_embedder_on_the_spot_is_given_the_program():
    embeds = OnTheSpot(lambda files: np.array([len(files)]))
    embeds.stop()
    assert of(embeds).tolist() == [1]
