import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_kit import LONG, MARKED, SEVERAL, WHOLE, edited, ok, prompts, rich, text_of

from evolve.llm.prices import typical_tokens
from evolve.llm.specs import EditKind
from evolve.mutation import Complaint, MutationRequest
from evolve.prompts.budget import CUTS, brief_detail, full_detail
from evolve.prompts.config import PromptConfig
from evolve.rendering import render_files

NAMES = [cut.name for cut in CUTS]


def crowded(files) -> MutationRequest:
    request = rich(files)
    noisy = "".join(f"step {number}: nothing to see\n" for number in range(500))
    return dataclasses.replace(
        request,
        parent=request.parent._replace(evaluation=dataclasses.replace(request.parent.evaluation, feedback=noisy)),
        failures=tuple(
            failure._replace(evaluation=dataclasses.replace(failure.evaluation, feedback=noisy)) for failure in request.failures
        ),
        complaints=(Complaint("no block " * 400, "x = 1\n" * 2000), Complaint("cut off", "y = 2\n" * 2000)),
    )


CROWDED = {name: crowded(files) for name, files in (("whole", WHOLE), ("marked", MARKED), ("several", SEVERAL), ("long", LONG))}


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(CROWDED)), st.sampled_from(list(EditKind)), st.integers(1, 12_000), st.booleans())
def test_a_prompt_is_never_above_its_budget_and_keeps_what_it_must(name, kind, budget, brief):
    request, refused = CROWDED[name], ""
    try:
        prompt = prompts().messages(request, kind, budget_tokens=budget, brief=brief)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert int(re.search(rf"takes about (\d+) tokens, but {budget} are allowed", refused)[1]) > budget
        return
    text = text_of(prompt)
    assert prompt.tokens <= budget
    assert prompt.tokens == sum(typical_tokens(message.text) + 4 for message in prompt.messages)
    parent = request.parent.program.files
    if not (brief and name == "marked"):
        assert render_files({path: parent[path] for path in request.task.files}).rstrip() in text
    for kept in ("Return what is asked.", "higher is better", "# How to answer", "cut off"):
        assert kept in text
    if kind is EditKind.REPAIR:
        assert "# The failed version to mend" in text
    if kind is EditKind.CROSS:
        assert "inspiration 1" in text.lower()
        assert "```diff" in text or "Its source:" in text


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(CROWDED)), st.sampled_from(list(EditKind)), st.integers(1, 12_000))
def test_what_is_dropped_is_named_in_order_and_in_the_prompt(name, kind, budget):
    try:
        prompt = prompts().messages(CROWDED[name], kind, budget_tokens=budget)
    except ValueError:
        return
    assert list(prompt.dropped) == [name for name in NAMES if name in prompt.dropped]
    note = f"Left out for length: {', '.join(prompt.dropped)}."
    assert (note in text_of(prompt)) == bool(prompt.dropped)


def test_with_room_nothing_is_dropped():
    prompt = prompts().messages(CROWDED["long"], EditKind.FULL, budget_tokens=24_000)
    assert prompt.dropped == ()
    assert "Left out" not in text_of(prompt)


def test_the_least_useful_part_goes_first():
    request = CROWDED["long"]
    full = prompts().messages(request, EditKind.FULL, budget_tokens=24_000)
    less = prompts().messages(request, EditKind.FULL, budget_tokens=full.tokens - 1)
    assert less.dropped == ("the ancestors",)
    assert "# How the program came about" not in text_of(less)


def test_every_cut_takes_something_away_somewhere_and_together_they_take_all():
    tokens = prompts().messages(CROWDED["several"], EditKind.FULL, budget_tokens=24_000).tokens
    dropped: tuple[str, ...] = ()
    while True:
        try:
            prompt = prompts().messages(dataclasses.replace(CROWDED["several"]), EditKind.FULL, budget_tokens=tokens)
        except ValueError:
            break
        dropped, tokens = prompt.dropped, prompt.tokens - 1
    assert [name for name in NAMES if name not in dropped] == []


def test_what_is_not_there_is_not_said_to_be_left_out():
    request = MutationRequest(rich(LONG).task, ok(LONG, 1.0, feedback="x " * 900))
    least = prompts().messages(request, EditKind.FULL, budget_tokens=24_000).tokens - 100
    assert prompts().messages(request, EditKind.FULL, budget_tokens=least).dropped == ("the middle of the feedback",)


def test_the_configuration_limits_what_a_long_context_would_allow():
    prompt = prompts(PromptConfig(max_tokens=3000)).messages(CROWDED["long"], EditKind.FULL, budget_tokens=1_000_000)
    assert prompt.tokens <= 3000
    assert prompt.dropped


def test_what_cannot_fit_is_refused_with_both_numbers_and_advice():
    with pytest.raises(ValueError, match=r"takes about \d+ tokens, but 50 are allowed; raise prompts.max_tokens, choose a model"):
        prompts().messages(CROWDED["whole"], EditKind.FULL, budget_tokens=50)


def test_tokens_are_counted_by_the_callable_given():
    prompt = prompts(count=len).messages(rich(WHOLE), EditKind.FULL, budget_tokens=24_000)
    assert prompt.tokens == sum(len(message.text) + 4 for message in prompt.messages)


def test_cuts_only_lower_and_are_named_and_explained():
    for start in (
        full_detail(PromptConfig()),
        brief_detail(PromptConfig()),
        full_detail(PromptConfig(feedback_chars=200, n_failures=0)),
    ):
        detail = start
        for cut in CUTS:
            lower = cut.apply(detail)
            assert all(getattr(lower, field.name) <= getattr(detail, field.name) for field in dataclasses.fields(lower))
            assert type(lower.lineage) is bool
            detail = lower
    assert len(set(NAMES)) == len(NAMES)
    assert all(cut.reason for cut in CUTS)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("a" * 36, 10), ("a" * 37, 11), ("數", 1), ("數" * 12, 10), ("\ud800", 1)]
)
def test_tokens_are_estimated_from_bytes(text, tokens):
    assert typical_tokens(text) == tokens


def test_an_inspiration_to_combine_with_survives_even_the_tightest_budget():
    request = CROWDED["long"]
    budget = 24_000
    prompt = None
    while True:
        try:
            prompt = prompts().messages(request, EditKind.CROSS, budget_tokens=budget)
        except ValueError:
            break
        budget = prompt.tokens - 1
    diff = edited(LONG, "+ 1", "+ 8")["main.py"].splitlines()[1]
    assert diff in text_of(prompt)
