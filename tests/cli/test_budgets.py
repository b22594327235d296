import io
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys

import pytest
from conftest import PARABOLA
from model_kit import improver

from evolve.archive.novelty import NoveltyConfig
from evolve.cli.budgets import forecast, with_budget
from evolve.config import RunConfig
from evolve.errors import ConfigError
from evolve.llm.prices import PriceTable
from evolve.tasks.catalog import find
from evolve.testing.model_server import ModelServer

PAID = "openai/gpt-5-mini"
#: A model of this machine whose price nobody knows, and one whose price is nothing.
OWN, FREE = "openai/qwen@http://127.0.0.1:8000/v1", "openai/qwen[price=0]@http://models.example/v1"


@pytest.fixture(autouse=True)
def no_table_of_ones_own(monkeypatch):
    monkeypatch.delenv("EVOLVE_PRICES", raising=False)


def budgeted(*arms, **settings):
    return with_budget(find(str(PARABOLA)), RunConfig(arms=arms, **settings))


def at_a_terminal(monkeypatch, typed):
    terminal = io.StringIO(typed)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def told(capsys):
    """What was said on standard error, on one line; nothing is ever said on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    return " ".join(err.split())


@pytest.mark.parametrize("arms", [("local",), (OWN,), (FREE,), ("local", OWN, FREE)])
def test_nothing_is_asked_or_said_of_what_is_free(monkeypatch, capsys, arms):
    at_a_terminal(monkeypatch, "")
    config = RunConfig(arms=arms)
    assert budgeted(*arms) == config
    assert told(capsys) == ""


def test_a_forecast_says_what_a_run_costs_and_asks_nobody(capsys):
    config = RunConfig(arms=(PAID, "local"), steps=10, budget_usd=1.0)
    expected = forecast(find(str(PARABOLA)), config)
    assert 0 < expected.typical < expected.worst
    assert 0 < expected.calls <= 10
    assert told(capsys) == ""


def test_a_forecast_wants_a_budget_and_a_model():
    with pytest.raises(ConfigError, match="set budget_usd"):
        forecast(find(str(PARABOLA)), RunConfig(arms=(PAID,)))
    with pytest.raises(ConfigError, match="asks a language model; the arms are"):
        forecast(find(str(PARABOLA)), RunConfig(arms=("local",), budget_usd=1.0))


def test_a_budget_for_what_is_free_is_kept_without_a_word(capsys):
    assert budgeted(FREE, budget_usd=1.0).budget_usd == 1.0
    assert told(capsys) == ""


def test_no_table_is_read_where_no_model_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(PriceTable, "read", lambda *arguments: pytest.fail("a price table was read"))
    assert budgeted("local", prices=str(tmp_path / "none.toml")).budget_usd is None


def test_where_nobody_can_be_asked_it_is_five_dollars_and_said(capsys):
    assert budgeted(PAID).budget_usd == 5.0
    assert "openai/gpt-5-mini costs money: at most 5.00 usd will be spent; --budget-usd sets another limit" in told(capsys)


def test_several_models_are_named_once_each(capsys):
    budgeted(
        "openai/gpt-5-mini[kinds=full]",
        "openai/gpt-5-mini[kinds=diff]",
        "anthropic/claude-haiku-4-5",
        OWN.replace("qwen", "qwen[price=0]"),
    )
    assert "openai/gpt-5-mini, anthropic/claude-haiku-4-5 cost money" in told(capsys)


@pytest.mark.parametrize(("typed", "usd"), [("\n", 5.0), ("2.5\n", 2.5), ("$3\n", 3.0), ("0\nnan\ninf\n-1\nlots\n0.2\n", 0.2)])
def test_at_a_terminal_a_person_is_asked_until_the_answer_is_an_amount(monkeypatch, capsys, typed, usd):
    at_a_terminal(monkeypatch, typed)
    assert budgeted(PAID).budget_usd == usd
    out, err = capsys.readouterr()
    assert (out + err).count("How many dollars may be spent? [5]") == typed.count("\n")
    assert (out + err).count("is no amount of dollars above 0") == typed.count("\n") - 1


def test_a_budget_that_was_given_is_not_asked_for(monkeypatch, capsys):
    at_a_terminal(monkeypatch, "")
    assert budgeted(PAID, budget_usd=7.0).budget_usd == 7.0
    assert "costs money" not in told(capsys)


def test_what_it_buys_is_said_before_it_is_spent(capsys):
    # Half of the pulls are the local arm's: an arm of one kind of edit beside one local arm.
    budgeted("openai/x[price=10/100,kinds=full]", "local", steps=100, budget_usd=50.0)
    said = told(capsys)
    found = re.search(
        r"expected: about 50 calls at ([\d.]+) usd, ([\d.]+) usd in all .*; no more than 50\.00 usd will be spent", said
    )
    assert found, said
    call, total = map(float, found.groups())
    # About 600 tokens of words and a very small program, in prompt and answer each: between 600 and 1200 of either.
    assert 600 * 110e-6 < call < 1200 * 110e-6
    assert total == pytest.approx(50 * call, rel=0.1)
    assert "warning" not in said


@pytest.mark.parametrize(
    ("usd", "said"),
    [(0.01, r"warning: a budget of \$0\.01 does not cover one call, .* allow more dollars"), (1.2, "warning: .* pays for about")],
)
def test_a_budget_too_small_to_mean_anything_is_warned_of(capsys, usd, said):
    budgeted("openai/x[price=100/1000,max_tokens=500]", budget_usd=usd)
    assert re.search(said, told(capsys))


def test_amounts_below_a_cent_are_told_apart(capsys):
    budgeted("openai/x[price=0.01/0.02]", budget_usd=0.002)
    assert re.search(r"calls at 0\.0000\d+ usd, .* no more than 0\.0020 usd will be spent", told(capsys))


@pytest.mark.parametrize("budget_usd", [None, 1.0])
def test_an_unknown_price_is_refused_before_anybody_is_asked(monkeypatch, capsys, budget_usd):
    at_a_terminal(monkeypatch, "1\n")
    with pytest.raises(ConfigError, match=r"the price of openai/gpt-5-mni is not known.*did you mean 'gpt-5-mini'"):
        budgeted("openai/gpt-5-mni", budget_usd=budget_usd)
    assert told(capsys) == ""


def test_ones_own_prices_decide_what_is_free(capsys, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[openai]\n"gpt-5-mini" = { price = "0" }\n')
    assert budgeted(PAID, prices=str(path)).budget_usd is None
    path.write_text('[openai]\nqwen = { price = "1/2" }\n')
    assert budgeted(OWN, prices=str(path)).budget_usd == 5.0
    assert "openai/qwen costs money" in told(capsys)


def test_a_typo_in_ones_own_prices_stops_a_run_before_anything_is_on_disk(cli, tmp_path, monkeypatch):
    path = tmp_path / "own.toml"
    path.write_text('[openai]\nqwen = { price = "1;2" }\n')
    answer = cli("run", PARABOLA, "--arm", OWN, "--set", f"prices={path}", status=2)
    assert f"price table {path}: [openai] 'qwen': '1;2' is not a price" in answer.err
    monkeypatch.setenv("EVOLVE_PRICES", str(tmp_path / "none.toml"))
    assert "none.toml: cannot be read" in cli("run", PARABOLA, "--arm", OWN, status=2).err
    assert not (tmp_path / "evolve.db").exists()


def test_a_run_is_paid_by_ones_own_prices(cli, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[openai]\nscripted = { price = "1000/0" }\n')
    with ModelServer(improver) as server:
        words = ["--steps", 2, "--arm", f"openai/scripted[kinds=full]@{server.url}", "--set", f"prices={path}", "--budget-usd", 100]
        shown = cli("run", PARABOLA, *words, "--json").json
    with sqlite3.connect(tmp_path / "evolve.db") as connection:
        asked = connection.execute("SELECT sum(tokens_in) FROM call_ends").fetchone()[0]
        recorded = json.loads(connection.execute("SELECT config FROM runs").fetchone()[0])
    assert shown["usd"] == pytest.approx(asked * 1e-3)
    assert recorded["prices"] == str(path)


def test_a_resume_from_another_folder_finds_the_files_of_the_configuration(cli, tmp_path, monkeypatch):
    """In the other folder lie files of the same names, which are none of the run's."""
    for name, price in (("one", "1000/0"), ("other", "2000/0")):
        (tmp_path / name / "words").mkdir(parents=True)
        (tmp_path / name / "own.toml").write_text(f'[openai]\nscripted = {{ price = "{price}" }}\n')
        (tmp_path / name / "words" / "system.md").write_text(f"Written in folder {name}.\n")
    (tmp_path / "one" / "run.toml").write_text('prices = "own.toml"\n[prompts]\ntemplates = "words"\n')
    archive = ["--archive", tmp_path / "a.db"]
    with ModelServer(improver) as server:
        words = ["--arm", f"openai/scripted[kinds=full]@{server.url}", "--config", "one/run.toml", "--budget-usd", 100]
        cli("run", PARABOLA, "--steps", 1, *words, *archive)
        monkeypatch.chdir(tmp_path / "other")
        shown = cli("resume", "--steps", 2, *archive, "--json").json
        told = [asked.messages[0].text for asked in server.asked]
    assert len(told) == 2
    assert all("Written in folder one." in text for text in told)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        tokens = connection.execute("SELECT sum(tokens_in) FROM call_ends").fetchone()[0]
    assert shown["usd"] == pytest.approx(tokens * 1e-3)


@pytest.mark.slow
def test_at_a_real_terminal_the_answer_is_the_runs_budget(tmp_path):
    """The whole command, with a terminal for its input and its messages; nobody reads these, so they must be few."""
    ours, theirs = pty.openpty()
    with ModelServer(improver) as server:
        words = ["run", str(PARABOLA), "--steps", "1", "--arm", f"openai/scripted[price=1/2,kinds=full]@{server.url}", "--json"]
        os.write(ours, b"0.25\n")
        command = [sys.executable, "-m", "evolve.cli", *words, "--quiet", "--archive", str(tmp_path / "a.db")]
        done = subprocess.run(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, timeout=120, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert json.loads(done.stdout)["steps"]["done"] == 1
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert json.loads(connection.execute("SELECT config FROM runs").fetchone()[0])["budget_usd"] == 0.25


def test_a_forecast_counts_embeddings_with_the_edits_that_find_their_limit(capsys):
    def expected(**novelty):
        config = RunConfig(arms=(PAID,), steps=10, budget_usd=1.0, novelty=NoveltyConfig(**novelty))
        return forecast(find(str(PARABOLA)), config)

    without, calibrated = expected(), expected(embedder="openai/text-embedding-3-small")
    uncalibrated = expected(embedder="openai/text-embedding-3-small", max_similarity=0.99)
    assert 0 == without.embeddings < uncalibrated.embeddings < calibrated.embeddings
    assert calibrated.typical == pytest.approx(without.typical + calibrated.embeddings)
    assert calibrated.worst > without.worst + calibrated.embeddings


def test_an_embedder_that_costs_money_wants_a_budget_and_a_price(capsys):
    config = RunConfig(arms=("local",), novelty=NoveltyConfig(embedder="openai/text-embedding-3-small"))
    assert with_budget(find(str(PARABOLA)), config).budget_usd == 5.0
    assert "embeddings for" in told(capsys)
    unknown = RunConfig(arms=("local",), novelty=NoveltyConfig(embedder="openai/e@http://models.example/v1"))
    with pytest.raises(ConfigError, match=r"price of openai/e is not known"):
        with_budget(find(str(PARABOLA)), unknown)
    own = RunConfig(arms=("local",), novelty=NoveltyConfig(embedder="openai/e@http://127.0.0.1:8000/v1"))
    assert with_budget(find(str(PARABOLA)), own) == own


def test_a_forecast_counts_a_judge_as_if_every_child_were_borderline(capsys):
    def expected(**novelty):
        config = RunConfig(arms=(PAID,), steps=10, budget_usd=1.0, novelty=NoveltyConfig(**novelty))
        return forecast(find(str(PARABOLA)), config)

    without, judged = expected(), expected(judge=PAID)
    assert 0 == without.judge < judged.judge
    assert judged.low == without.low
    assert judged.typical == pytest.approx(without.typical + judged.judge)
    assert judged.worst > without.worst + judged.judge
    assert (judged.calls, judged.typical_call) == (without.calls, without.typical_call)


def test_a_judge_that_costs_money_wants_a_budget_and_a_price(capsys):
    config = RunConfig(arms=("local",), novelty=NoveltyConfig(judge=PAID))
    assert with_budget(find(str(PARABOLA)), config).budget_usd == 5.0
    assert "usd for a judge" in told(capsys)
    unknown = RunConfig(arms=("local",), novelty=NoveltyConfig(judge="openai/j@http://models.example/v1"))
    with pytest.raises(ConfigError, match=r"price of openai/j is not known"):
        with_budget(find(str(PARABOLA)), unknown)
    own = RunConfig(arms=("local",), novelty=NoveltyConfig(judge=OWN))
    assert with_budget(find(str(PARABOLA)), own) == own
