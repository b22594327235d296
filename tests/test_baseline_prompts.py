"""What the prompts of the baselines hold of the steps before, in whole runs over real HTTP on loopback."""

from conftest import PARABOLA
from model_kit import rewrite

import evolve
from evolve.archive.store import Archive
from evolve.testing.model_server import Answer, ModelServer

#: More than a note, and a new approach, come after where a strategy has them.
STEPS = 56
CRASH = "```python\n# EVOLVE-BLOCK-START\ndef where():\n    raise OSError('call {}')\n\n\n# EVOLVE-BLOCK-END\n```\n"
#: What tells of the run in prompts of other strategies.
OF_THE_RUN = ("# Notes on this search so far", "# A new approach is wanted", "best program so far", "this repeats program")
FAILURES = ("# A change that failed", "# Changes that failed")


def wayward(asked):
    """Programs that get worse, crash, repeat an earlier one and cannot be applied, in turn."""
    number = asked.number
    crash = CRASH.format(number)
    answers = [rewrite(100.0 + number), crash, crash, rewrite(100.0), f"I have no program {number}."]
    return Answer(answers[number % len(answers)])


def asked_by(strategy, where, **tables):
    """Returns what a run asked, with the direction left out, which hangs on seed and step alone; and the notes that it made."""
    templates = where / "templates"
    templates.mkdir()
    (templates / "directions.md").write_text("")
    with ModelServer(wayward) as server:
        arms = [f"openai/scripted[kinds=full+repair]@{server.url}"]
        settings = {"prompts": {"templates": str(templates)}, "order": "strict", "lag": 1, **tables}
        options = {"strategy": strategy, "steps": STEPS, "seed": 3, "arms": arms, "settings": settings}
        made = evolve.run(str(PARABOLA), archive=where / "a.db", **options)
        assert made.summary()["steps"]["done"] == STEPS
        asked = server.asked
    assert evolve.replay(archive=where / "a.db").differences == ()
    with Archive.open(where / "a.db") as archive:
        return asked, archive.notes(1)


def beginning(asked):
    """The messages before the first answer that is sent back."""
    texts = []
    for message in asked.messages:
        if message.role == "assistant":
            break
        texts.append(message.text)
    return "\n".join(texts)


def all_text(asked):
    return "\n".join(message.text for message in asked.messages)


def test_samples_of_best_of_n_know_nothing_of_each_other(tmp_path):
    asked, notes = asked_by("best_of_n", tmp_path)
    assert notes == []
    # One question to one kind of edit, word for word the same, asked again and again.
    assert len({beginning(one) for one in asked}) == 1
    assert not [phrase for phrase in (*OF_THE_RUN, *FAILURES) if any(phrase in all_text(one) for one in asked)]
    # Sent back is what could not be applied, in the same step alone.
    answers = [message.text for one in asked for message in one.messages if message.role == "assistant"]
    assert answers
    assert all(text.startswith("I have no program") for text in answers)


def test_a_chain_is_told_its_latest_failure_alone(tmp_path):
    asked, notes = asked_by("sequential", tmp_path)
    assert notes == []
    assert not [phrase for phrase in OF_THE_RUN if any(phrase in all_text(one) for one in asked)]
    assert FAILURES[0] in "".join(map(beginning, asked))
    assert FAILURES[1] not in "".join(map(beginning, asked))


def test_the_default_is_told_of_the_run(tmp_path):
    asked, notes = asked_by("default", tmp_path, insight={"every": 50}, stagnation={"after": 40})
    assert notes
    told = "".join(map(all_text, asked))
    assert [phrase for phrase in OF_THE_RUN if phrase not in told] == []
