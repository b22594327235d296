"""A task's first program from its description alone, over real HTTP on loopback."""

import json

import pytest
from model_kit import CANARY

from evolve.drafting import files_hint, with_markers
from evolve.evaluators.compat.folder import read as read_folder
from evolve.llm.base import Finish
from evolve.tasks.catalog import find, find_unfinished
from evolve.testing.model_server import Answer, Fault, ModelServer

MANIFEST = """\
name = "parabola"
program = ["initial.py"]
[objective]
metric = "height"
direction = "minimize"
[limits]
timeout_s = 2
memory_mb = 256
[prompt]
background = "background.md"
[run.calls]
give_up_s = 0.5
first_wait_s = 0.01
max_wait_s = 0.05
cooldown_s = 0.05
"""
EVALUATE = '''\
"""Scores a program by the height of a parabola."""

from evolve.evaluators import Invalid, Score

LOWEST = 3.25


def evaluate(program):
    x = program.call("where", 7)
    if not isinstance(x, float):
        raise Invalid(f"where() returned {x!r}, expected a float")
    return Score((x - LOWEST) ** 2)
'''
GOOD = "# EVOLVE-BLOCK-START\ndef where(n):\n    return 1.0\n\n\n# EVOLVE-BLOCK-END\n"


def reply(text: str, path: str = "initial.py") -> str:
    return f"Here it is.\n\n### {path}\n```python\n{text}```\n"


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "task"
    where.mkdir()
    (where / "task.toml").write_text(MANIFEST)
    (where / "evaluate.py").write_text(EVALUATE)
    (where / "background.md").write_text("Find the lowest point of a parabola.\n")
    return where


@pytest.fixture
def draft(cli, folder):
    """Calls the command with a scripted server's model."""

    def call(server, *words, settings="price=1/10", status=0):
        return cli("task", "draft", folder, "--arm", f"openai/scripted[{settings}]@{server.url}", *words, status=status)

    return call


def records(folder, what):
    lines = (folder / "drafts.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["what"] == what]


def test_a_program_that_scores_is_written(folder, draft, cli):
    with ModelServer([Answer(reply(GOOD))]) as server:
        answer = draft(server)
    assert (folder / "initial.py").read_text() == GOOD
    assert "wrote" in answer.out
    assert "scores 5.0625" in answer.err
    assert find(str(folder)).files == {"initial.py": GOOD}
    assert cli("task", "check", folder, "--json").json["ok"]


def test_the_model_is_told_the_task_and_nothing_that_decides_a_score(draft):
    with ModelServer([Answer(reply(GOOD))]) as server:
        draft(server)
    [message] = server.asked[0].messages
    for part in (
        "Find the lowest point of a parabola.",
        "`height` is what counts: lower is better",
        "`initial.py`",
        "`where(...)`",
        "Scores a program by the height of a parabola.",
        "EVOLVE-BLOCK-START",
        "2 CPU seconds",
    ):
        assert part in message.text
    assert "3.25" not in message.text
    assert "LOWEST" not in message.text


def test_the_model_sees_its_error_and_tries_again(folder, draft):
    with ModelServer([Answer(reply("def where(n):\n    return 1.0 / 0\n")), Answer(reply(GOOD))]) as server:
        answer = draft(server, "--json").json
    assert [attempt["outcome"] for attempt in answer["attempts"]] == ["crashed", "ok"]
    assert answer["objective"] == 5.0625
    first, said, complaint = server.asked[1].messages
    assert first == server.asked[0].messages[0]
    assert "return 1.0 / 0" in said.text
    assert "ZeroDivisionError" in complaint.text
    assert (folder / "initial.py").read_text() == GOOD


def test_a_program_that_does_not_count_or_parse_is_sent_back(draft):
    answers = [Answer(reply("def where(n):\n    return 'here'\n")), Answer(reply("def where(n:\n")), Answer(reply(GOOD))]
    with ModelServer(answers) as server:
        draft(server)
    assert "expected a float" in server.asked[1].messages[-1].text
    assert "does not parse" in server.asked[2].messages[-1].text


def test_when_all_attempts_fail_nothing_is_written(folder, draft):
    with ModelServer(lambda asked: Answer(reply("def where(n):\n    raise ValueError('no idea')\n"))) as server:
        answer = draft(server, "--attempts", 2, status=1)
    assert len(server.asked) == 2
    assert "none of 2 programs scored" in answer.err
    assert sorted(path.name for path in folder.iterdir()) == ["background.md", "drafts.jsonl", "evaluate.py", "task.toml"]


def test_the_same_model_is_shown_what_it_did_before(folder, draft):
    replies = iter([reply("def where(n):\n    raise ValueError('no idea')\n"), reply(GOOD)])
    with ModelServer(lambda asked: Answer(next(replies))) as server:
        draft(server, "--attempts", 1, status=1)
        draft(server, "--attempts", 1)
    assert "no idea" in server.asked[1].messages[-1].text
    assert server.asked[0].body["seed"] != server.asked[1].body["seed"]


def test_complaints_of_another_evaluator_are_forgotten(folder, draft):
    replies = iter([reply("def where(n):\n    return 1\n"), reply(GOOD)])
    with ModelServer(lambda asked: Answer(next(replies))) as server:
        draft(server, "--attempts", 1, status=1)
        (folder / "evaluate.py").write_text(EVALUATE.replace("3.25", "3.5"))
        draft(server, "--attempts", 1)
    assert len(server.asked[1].messages) == 1


def test_an_answer_that_was_cut_off_is_not_taken_for_a_program(folder, draft):
    with ModelServer([Answer(reply(GOOD)[:60], finish=Finish.LENGTH), Answer(reply(GOOD))]) as server:
        draft(server, settings="max_tokens=321")
    assert "cut off at its longest length of 321 tokens" in server.asked[1].messages[-1].text
    assert (folder / "initial.py").read_text() == GOOD


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(reply(GOOD, "main.py")), "main.py"),
        (Answer(reply(GOOD, "../evaluate.py")), "evaluate.py"),
        (Answer("I cannot say."), "no fenced block"),
        (Answer("", finish=Finish.REFUSED), "refusal"),
        (Answer("  \n"), "empty"),
        (Answer(reply("# EVOLVE-BLOCK-START\ndef where(n):\n    return 1.0\n")), "has no EVOLVE-BLOCK-END"),
        (Answer(reply("def where(n):\n    # ... rest of the code\n    return 1.0\n")), "leaves code out"),
        (Answer(reply("def where(n):\n    return '\ud800'\n")), "cannot be used"),
    ],
)
def test_a_reply_that_holds_no_program_is_sent_back(folder, draft, answer, said):
    with ModelServer(lambda asked: answer, count_tokens=False) as server:
        found = draft(server, "--attempts", 2, "--json", status=1).json
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["edit_failed"] * 2
    assert said in found["attempts"][0]["why"]
    assert said in server.asked[1].messages[-1].text
    assert not (folder / "initial.py").exists()
    assert (folder / "evaluate.py").read_text() == EVALUATE


def test_a_file_without_markers_is_marked_whole(folder, draft):
    with ModelServer([Answer(reply("def where(n):\n    return 1.0\n"))]) as server:
        draft(server)
    text = (folder / "initial.py").read_text()
    assert text == "# EVOLVE-BLOCK-START\ndef where(n):\n    return 1.0\n# EVOLVE-BLOCK-END\n"


@pytest.mark.parametrize(
    ("path", "text", "marked"),
    [
        ("a.py", "#!/usr/bin/python\nx = 1\n", "#!/usr/bin/python\n# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"),
        ("a.cpp", "int x;\n", "// EVOLVE-BLOCK-START\nint x;\n// EVOLVE-BLOCK-END\n"),
        ("a.ml", "let x = 1\n", "(* EVOLVE-BLOCK-START *)\nlet x = 1\n(* EVOLVE-BLOCK-END *)\n"),
        ("a.json", "{}\n", "{}\n"),
        ("a", "text\n", "text\n"),
        ("a.py", "# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\nx = 1\n", "# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"),
        ("a.py", GOOD, GOOD),
    ],
)
def test_markers_are_comments_of_the_language(path, text, marked):
    assert with_markers(path, text) == marked


# Several files


@pytest.fixture
def several(folder):
    (folder / "task.toml").write_text(MANIFEST.replace('["initial.py"]', '["initial.py", "lib/near.py"]'))
    (folder / "initial.py").write_text("from lib.near import near\n\n\ndef where(n):\n    return near()\n")
    return folder


def test_only_what_is_missing_is_written(several, draft):
    there = (several / "initial.py").read_text()
    with ModelServer([Answer(reply("def near():\n    return 2.0\n", "lib/near.py"))]) as server:
        answer = draft(server)
    assert "from lib.near import near" in server.asked[0].messages[0].text
    assert (several / "initial.py").read_text() == there
    assert "return 2.0" in (several / "lib" / "near.py").read_text()
    assert "so fixed: initial.py" in answer.out


def test_a_file_that_is_there_may_not_change(several, draft):
    there = (several / "initial.py").read_text()
    near = reply("def near():\n    return 2.0\n", "lib/near.py")
    answers = [Answer(near + reply("def where(n):\n    return 1.0\n")), Answer(near + reply(there))]
    with ModelServer(answers) as server:
        draft(server)
    assert "initial.py, which is there already" in server.asked[1].messages[-1].text
    assert (several / "initial.py").read_text() == there


def test_a_program_of_which_nothing_is_missing_is_left_alone(folder, draft):
    (folder / "initial.py").write_text(GOOD)
    with ModelServer([]) as server:
        answer = draft(server, status=2)
    assert "nothing is missing" in answer.err
    assert not (folder / "drafts.jsonl").exists()


def test_a_file_that_appears_meanwhile_is_not_overwritten(folder, draft):
    def appearing(asked):
        (folder / "initial.py").write_text("mine\n")
        return Answer(reply(GOOD))

    with ModelServer(appearing) as server:
        answer = draft(server, status=2)
    assert "has appeared meanwhile" in answer.err
    assert (folder / "initial.py").read_text() == "mine\n"
    assert "def where(n)" in records(folder, "reply")[0]["text"]


# Money and keys


def test_what_was_asked_answered_and_spent_is_kept(folder, draft):
    with ModelServer([Answer(reply("x = 1\n")), Answer(reply(GOOD))]) as server:
        spent = draft(server, "--budget-usd", 1, "--json").json["usd"]
    assert [record["text"] for record in records(folder, "reply")] == [reply("x = 1\n"), reply(GOOD)]
    asked = [[text for _, text in record["asked"]] for record in records(folder, "reply")]
    assert asked == [[message.text for message in asked.messages] for asked in server.asked]
    assert len(records(folder, "call")) == len(records(folder, "end")) == 2
    assert 0 < spent == pytest.approx(sum(record["usd"] for record in records(folder, "end")))


def test_a_budget_too_small_for_a_call_asks_nothing(folder, draft):
    with ModelServer([]) as server:
        answer = draft(server, "--budget-usd", 0.01, settings="price=100/1000", status=3)
    assert "may cost up to" in answer.err
    assert not (folder / "initial.py").exists()


def test_a_budget_that_runs_out_ends_the_attempts(folder, draft):
    with ModelServer(lambda asked: Answer(reply("x = 1\n" * 100))) as server:
        found = draft(server, "--budget-usd", 0.02, "--attempts", 50, "--json", settings="price=1/40,max_tokens=400", status=1).json
    assert 1 <= len(server.asked) < 50
    assert 0 < found["usd"] <= 0.02
    assert "may cost up to" in found["reason"]


def test_an_unknown_price_is_an_error_under_a_budget(folder, draft):
    with ModelServer([]) as server:
        assert "price=" in draft(server, "--budget-usd", 1, settings="max_tokens=100", status=2).err


def test_no_key_is_written_anywhere(folder, draft, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SOME_KEY", CANARY)
    caplog.set_level("DEBUG")
    faults = iter([Answer(fault=Fault.SERVER_ERROR, words=f"key {CANARY} is fine"), Answer("no"), Answer(reply(GOOD))])
    with ModelServer(lambda asked: next(faults)) as server:
        answer = draft(server, "--json", settings="key_env=SOME_KEY")
    assert {asked.key for asked in server.asked} == {CANARY}
    assert not any(CANARY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert CANARY not in answer.out + answer.err + caplog.text
    assert not any(CANARY in message.text for asked in server.asked for message in asked.messages)


def test_a_missing_key_is_said_before_anything_is_written(folder, cli, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    answer = cli("task", "draft", folder, "--arm", "openai/gpt-5-mini", "--budget-usd", 1, status=2)
    assert "OPENAI_API_KEY" in answer.err
    assert not (folder / "drafts.jsonl").exists()


# What goes wrong


def test_an_answer_that_nothing_came_of_is_not_paid_for_twice(folder, draft):
    """A command that was killed between the answer and its score leaves exactly this behind."""
    with ModelServer([Answer(reply(GOOD))]) as server:
        draft(server)
        (folder / "initial.py").unlink()
        journal = folder / "drafts.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        assert '"result"' in lines[-1]
        journal.write_text("".join(lines[:-1]) + lines[-1][:20])
        found = draft(server, "--json").json
    assert len(server.asked) == 1
    assert found["usd"] == 0
    assert (folder / "initial.py").read_text() == GOOD


def test_a_broken_evaluator_is_not_paid_for_again(folder, draft):
    (folder / "evaluate.py").write_text(EVALUATE.replace("return Score(", "return Scored("))
    with ModelServer([Answer(reply(GOOD))]) as server:
        answer = draft(server, status=1)
        assert "Scored" in answer.err
        assert "mend it" in answer.err
        (folder / "evaluate.py").write_text(EVALUATE)
        draft(server)
    assert len(server.asked) == 1
    assert (folder / "initial.py").read_text() == GOOD


def test_an_evaluator_that_does_not_load_costs_nothing(folder, draft):
    (folder / "evaluate.py").write_text("import nowhere_to_be_found\n")
    with ModelServer([]) as server:
        assert "nowhere_to_be_found" in draft(server, status=1).err


def test_a_model_that_does_not_answer_is_an_error(folder, draft):
    with ModelServer(lambda asked: Answer(fault=Fault.UNAVAILABLE)) as server:
        draft(server, status=1)
    assert {record["outcome"] for record in records(folder, "end")} == {"overloaded"}
    assert not (folder / "initial.py").exists()


def test_a_conversation_too_long_for_the_context_is_shortened(folder, draft):
    def cramped(asked):
        if len(asked.messages) == 1 and asked.number == 0:
            return Answer(reply(GOOD.replace("1.0", "1 / 0") + "# padding\n" * 200))
        long = sum(len(message.text) for message in asked.messages) > 3000
        return Answer(fault=Fault.OVERFLOW_OF_LLAMA_CPP) if long else Answer(reply(GOOD))

    with ModelServer(cramped) as server:
        draft(server)
    assert "ZeroDivisionError" in server.asked[-1].messages[-1].text
    assert (folder / "initial.py").read_text() == GOOD


@pytest.mark.parametrize("arm", ["local", "local/literals"])
def test_only_a_model_writes_programs(folder, cli, arm):
    assert "language model" in cli("task", "draft", folder, "--arm", arm, status=2).err


def test_a_folder_without_a_manifest_is_refused(cli, tmp_path):
    assert "holds no task.toml" in cli("task", "draft", tmp_path, "--arm", "openai/x@http://127.0.0.1:1/v1", status=2).err


def test_a_program_in_another_language_is_built_run_and_marked(cli, tmp_path):
    cli("task", "new", "sine", "--language", "javascript")
    (tmp_path / "sine" / "initial.js").unlink()
    text = (
        "const words = require('fs').readFileSync(0, 'utf8').split(/\\s+/).filter(Boolean);\n"
        "for (const word of words) console.log(Math.sin(Number(word)));\n"
    )
    with ModelServer([Answer(reply(text, "initial.js"))]) as server:
        found = cli("task", "draft", "./sine", "--arm", f"openai/scripted@{server.url}", "--json").json
    assert "run by `node initial.js`" in server.asked[0].messages[0].text
    assert found["objective"] == pytest.approx(1.0)
    assert (tmp_path / "sine" / "initial.js").read_text() == f"// EVOLVE-BLOCK-START\n{text}// EVOLVE-BLOCK-END\n"


def test_the_journal_is_no_part_of_an_evaluator_that_shares_its_process(folder, draft):
    (folder / "task.toml").write_text(MANIFEST.replace("[objective]", "shared_process = true\n[objective]"))
    before = find_unfinished(str(folder)).task.evaluator_sha256
    with ModelServer([Answer("no"), Answer(reply(GOOD))]) as server:
        draft(server)
    assert find(str(folder)).evaluator_sha256 == before
    assert "drafts.jsonl" not in read_folder(folder).files


def test_the_hint_shows_what_is_there(several):
    unfinished = find_unfinished(str(several))
    hint = files_hint(unfinished, EVALUATE)
    assert unfinished.missing == ("lib/near.py",)
    assert hint.startswith("`lib/near.py`.")
    assert "what is called or run is in `initial.py`" in hint
    assert "from lib.near import near" in hint
