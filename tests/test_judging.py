import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.records import Judgement, Likeness
from evolve.errors import ModelError, PutOff
from evolve.judging import ModelJudge, RecordedJudge, read
from evolve.llm.base import Completion, Finish, Usage
from evolve.llm.calling import Called
from evolve.llm.specs import parse_spec
from evolve.llm.stopping import Stopping
from evolve.mutators.asking import Asking
from evolve.prompts.config import PromptConfig
from evolve.prompts.render import Prompts

KNOWN = {"a.py": "A = 1\n# EVOLVE-BLOCK-START\nx = 2\n# EVOLVE-BLOCK-END\n"}
CHILD = {"a.py": KNOWN["a.py"].replace("x = 2", "x = (2)")}
SAME, DIFFERENT = Likeness.SAME, Likeness.DIFFERENT


class Scripted:
    """Answers or fails in turn, as a caller does."""

    name = "openai/j"

    def __init__(self, *answers):
        self.answers, self.asked, self.stopped = list(answers), [], False

    async def call(self, request, step, attempt):
        self.asked.append((request, step, attempt))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        completion = answer if isinstance(answer, Completion) else Completion(answer)
        return Called(completion, Usage(30, 0, 4), 0.5, 1.5, 1)

    def stop(self):
        self.stopped = True


def judge_of(caller):
    spec = parse_spec("openai/j@http://127.0.0.1:9/v1")
    return ModelJudge(7, caller=caller, prompts=Prompts.of(PromptConfig()), asking=Asking(spec, 4000))


def judged(caller, *, known=KNOWN, child=CHILD, step=3, attempt=1):
    return asyncio.run(judge_of(caller).judge(known, child, step, attempt))


@pytest.mark.parametrize(
    ("text", "found", "why"),
    [
        ("SAME: only brackets", SAME, "only brackets"),
        ("DIFFERENT: 2 became 3", DIFFERENT, "2 became 3"),
        ("same", SAME, ""),
        ("Different.", DIFFERENT, ""),
        ("**SAME** - only brackets", SAME, "only brackets"),
        ("`SAME: only brackets`", SAME, "only brackets"),
        ("Verdict: DIFFERENT", DIFFERENT, ""),
        ("**Verdict:** SAME, the order alone", SAME, "the order alone"),
        ("\nLet me see.\n\nSAME: only brackets\n", SAME, "only brackets"),
        ("SAME\nSAME: only brackets", SAME, "only brackets"),
    ],
)
def test_a_verdict_is_read(text, found, why):
    assert read(text) == (found, why)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "SAME: yes\nDIFFERENT: no",
        "SAME or DIFFERENT",
        "The same as before.",
        "They do the SAME: yes",
        "sameness",
        "SAME as the known one",
        "different numbers: 2",
    ],
)
def test_what_is_no_verdict_or_two_is_not_read(text):
    assert read(text) is None


@given(st.text(alphabet=" *_`#>-:.samedifrntvc\n", max_size=400))
def test_any_answer_is_read_or_is_not(text):
    answer = read(text)
    assert answer is None or answer.found in (SAME, DIFFERENT)


def test_a_line_of_marks_is_read_in_no_time():
    assert read("*_` " * 20_000 + "x") is None


def test_a_reason_is_one_short_line():
    assert len(read("SAME: " + "so " * 500).why) == 220


def test_a_judgement_holds_what_was_asked_and_answered():
    caller = Scripted("SAME: only brackets")
    found = judged(caller)
    assert (found.step, found.attempt, found.found, found.why, found.source) == (3, 1, SAME, "only brackets", "openai/j")
    assert (found.reply, found.tokens_in, found.tokens_out, found.latency_s, found.error) == ("SAME: only brackets", 30, 4, 1.5, "")
    [(request, step, attempt)] = caller.asked
    assert (step, attempt) == (3, 1)
    text = request.messages[-1].text
    assert "x = 2" in text
    assert "x = (2)" in text
    assert "A = 1" not in text
    assert text.splitlines()[0] in found.prompt


def test_the_same_question_is_asked_with_the_same_seed_and_another_attempt_with_another():
    one, same, other = Scripted("SAME"), Scripted("SAME"), Scripted("SAME")
    judged(one)
    judged(same)
    judged(other, attempt=2)
    seeds = [caller.asked[0][0].seed for caller in (one, same, other)]
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize("finish", [Finish.REFUSED, Finish.EMPTY])
def test_an_answer_that_is_none_is_not_read(finish):
    found = judged(Scripted(Completion("SAME", finish)))
    assert (found.found, found.reply) == (Likeness.UNKNOWN, "SAME")
    assert finish.value in found.error


def test_an_answer_that_was_cut_off_behind_its_verdict_is_read():
    assert judged(Scripted(Completion("SAME: for the rea", Finish.LENGTH))).found is SAME


def test_failures_are_kept_and_said_once(caplog):
    judge = judge_of(Scripted(PutOff("it is down"), ModelError("no dollars"), "Hm.", "DIFFERENT"))

    async def all_of_them():
        return [await judge.judge(KNOWN, CHILD, step, 0) for step in range(1, 5)]

    with caplog.at_level(logging.WARNING):
        found = asyncio.run(all_of_them())
    assert [one.found for one in found] == [Likeness.UNKNOWN] * 3 + [DIFFERENT]
    assert [one.error for one in found[:2]] == ["it is down", "no dollars"]
    assert len(caplog.records) == 1


def test_programs_without_room_are_not_asked_about():
    caller = Scripted()
    long = {"a.py": "".join(f"x{k} = {k}\n" for k in range(4000))}
    found = judged(caller, known=long, child={"a.py": long["a.py"].replace("x", "y")})
    assert found.found is Likeness.UNKNOWN
    assert "does not fit" in found.error
    assert caller.asked == []


def test_a_run_that_stops_is_no_failure():
    with pytest.raises(Stopping):
        judged(Scripted(Stopping("the run is stopping")))


def test_stopping_reaches_the_model():
    caller = Scripted()
    judge_of(caller).stop()
    assert caller.stopped


def test_a_record_knows_its_judgements_and_no_others():
    known = Judgement(3, 1, SAME, "only brackets")
    judge = RecordedJudge({(3, 1): known})
    judge.stop()
    assert asyncio.run(judge.judge(KNOWN, CHILD, 3, 1)) is known
    other = asyncio.run(judge.judge(KNOWN, CHILD, 3, 0))
    assert (other.found, other.step, other.attempt) == (Likeness.UNKNOWN, 3, 0)
    assert "recorded" in other.error
