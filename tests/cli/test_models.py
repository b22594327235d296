import json
import subprocess
import sys

import pytest
from model_kit import CANARY

from evolve.llm.base import Finish, Usage
from evolve.testing.model_server import Answer, Fault, ModelServer


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "EVOLVE_PRICES"):
        monkeypatch.delenv(name, raising=False)


def own_table(tmp_path, text='[openai]\n"mine" = { price = "1/0.5/2/4", context = 9000 }\n'):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


# list


def test_models_are_listed_as_they_are_asked_with_their_four_prices(cli):
    rows = {row["model"]: row for row in cli("models", "list", "--json").json}
    assert {name.partition("/")[0] for name in rows} == {"openai", "anthropic", "litellm"}
    sonnet = rows["anthropic/claude-sonnet-4-6"]
    assert [sonnet[f"{name}_usd"] for name in ("input", "cached", "written", "output")] == [3.0, 0.3, 3.75, 15.0]
    assert (sonnet["context"], sonnet["key_env"], sonnet["key_found"]) == (1_000_000, "ANTHROPIC_API_KEY", False)
    assert rows["openai/gpt-5-mini"]["written_usd"] == rows["openai/gpt-5-mini"]["input_usd"]
    assert all(row["price_from"] for row in rows.values())


def test_the_list_says_which_keys_are_set_and_never_what_they_are(cli, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    out = cli("models", "list").out
    assert "OPENAI_API_KEY is set, ANTHROPIC_API_KEY is not set" in out
    assert CANARY not in out
    answer = cli("models", "list", "--json")
    assert CANARY not in answer.out
    assert {row["key_found"] for row in answer.json if row["key_env"] == "OPENAI_API_KEY"} == {True}


@pytest.mark.parametrize("named_by", ["option", "variable"])
def test_ones_own_prices_are_listed_first_and_their_file_named(cli, monkeypatch, tmp_path, named_by):
    path = own_table(tmp_path)
    words = ["--prices", path] if named_by == "option" else []
    if not words:
        monkeypatch.setenv("EVOLVE_PRICES", str(path))
    assert f"The first from {path}." in cli("models", "list", *words).out
    first = cli("models", "list", "--json", *words).json[0]
    assert first["model"] == "openai/mine"
    assert [first[f"{name}_usd"] for name in ("input", "cached", "written", "output")] == [1.0, 0.5, 2.0, 4.0]
    assert first["price_from"] == str(path)


def test_a_typo_in_ones_own_prices_names_file_and_key(cli, tmp_path):
    path = own_table(tmp_path, '[openai]\n"mine" = { prise = "1/2" }\n')
    answer = cli("models", "list", "--prices", path, status=2)
    assert answer.err == f"error: price table {path}: [openai] 'mine': unknown key 'prise'; did you mean 'price'?\n"
    assert answer.out == ""


def test_to_list_models_neither_a_database_nor_arrays_are_imported(tmp_path):
    script = (
        "import sys\nfrom evolve.cli.main import main\n"
        "try:\n    main(['models', 'list', '--json'])\n"
        "finally:\n    print(sorted({'numpy', 'sqlalchemy', 'jinja2', 'openai'} & set(sys.modules)), file=sys.stderr)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert answer.stderr.strip() == "[]"
    assert len(json.loads(answer.stdout)) > 60


# check


def check(cli, server, *words, settings="", status=0):
    return cli("models", "check", f"openai/scripted{settings}@{server.url}", *words, status=status)


def test_a_model_that_answers_is_shown_with_what_that_cost(cli, monkeypatch):
    monkeypatch.setenv("SOME_KEY", CANARY)
    with ModelServer([Answer("ready", usage=Usage(1000, 400, 10, 0, 200), model="scripted-2026")]) as server:
        answer = check(cli, server, "--json", settings="[key_env=SOME_KEY,price=10/1/20/100,temperature=0.5]")
        (asked,) = server.asked
    found = answer.json
    assert (found["ok"], found["answer"], found["finish"], found["served_by"]) == (True, "ready", "stop", "scripted-2026")
    assert (found["tokens_in"], found["tokens_out"], found["key_found"]) == (1000, 10, True)
    assert found["usd"] == pytest.approx((400 * 10 + 400 * 1 + 200 * 20 + 10 * 100) / 1e6)
    assert found["seconds"] >= 0
    assert (asked.key, asked.temperature, asked.max_tokens) == (CANARY, 0.5, 256)
    assert CANARY not in answer.out + answer.err


def test_people_read_what_was_said_and_what_it_cost(cli):
    with ModelServer([Answer("ready", usage=Usage(100, 0, 10))]) as server:
        out = check(cli, server, settings="[price=1/10,context=8000]").out
    assert "openai/scripted: answers in " in out
    rows = dict(line.strip().split(None, 1) for line in out.splitlines()[1:] if "served by" not in line)
    assert rows["said"] == "'ready' (stop)"
    assert rows["key"] == "none is sent"
    assert rows["tokens"] == "100 asked, 10 answered"
    assert rows["cost"] == "0.00020 usd"
    assert rows["price"] == "1/1/1/10 usd per million tokens (price= of the SPEC)"
    assert rows["context"] == "8000 tokens"


def test_a_price_that_is_not_known_is_no_failure_and_no_zero(cli):
    with ModelServer(["ready", "ready"]) as server:
        assert check(cli, server, "--json").json["usd"] is None
        out = check(cli, server).out
    assert "cost      – usd" in out
    assert "not known: write [price=INPUT/OUTPUT]" in out


def test_tokens_counted_as_zero_beside_an_answer_are_no_zero_either(cli):
    with ModelServer([Answer("ready", usage=Usage(10, 0, 0))]) as server:
        found = check(cli, server, "--json", settings="[price=1/10]").json
    assert (found["usd"], found["tokens_in"], found["tokens_out"]) == (None, None, None)


def test_ones_own_price_is_used(cli, tmp_path):
    path = own_table(tmp_path, '[openai]\nscripted = { price = "1000/2000" }\n')
    with ModelServer([Answer("ready", usage=Usage(10, 0, 10))]) as server:
        found = check(cli, server, "--json", "--prices", path).json
    assert (found["usd"], found["price_from"]) == (pytest.approx(0.03), str(path))


def test_a_configurations_prices_are_found_from_its_folder(cli, tmp_path):
    (tmp_path / "sub").mkdir()
    path = own_table(tmp_path / "sub", '[openai]\nscripted = { price = "1000/2000" }\n')
    (tmp_path / "sub" / "run.toml").write_text('prices = "own.toml"\n')
    with ModelServer([Answer("ready", usage=Usage(10, 0, 10))]) as server:
        assert check(cli, server, "--json", "--config", "sub/run.toml").json["price_from"] == str(path)


@pytest.mark.parametrize("cost", [0.5, -1.0])
def test_a_cost_that_the_server_reports_wins_if_it_is_one(cli, cost):
    with ModelServer([Answer("ready", usage=Usage(10, 0, 10), cost_usd=cost)]) as server:
        found = check(cli, server, "--json", settings="[price=1000/2000]").json
    assert found["usd"] == pytest.approx(0.5 if cost > 0 else 0.03)


def test_an_answer_cut_off_in_thought_is_an_answer_and_explained(cli):
    with ModelServer([Answer("", finish=Finish.LENGTH)]) as server:
        out = check(cli, server).out
    assert "'' (length): cut off at the 256 tokens of this question, thoughts included" in out


@pytest.mark.parametrize(
    ("fault", "failure", "said"),
    [
        (Fault.BAD_KEY, "unauthorized", "SOME_KEY"),
        (Fault.UNKNOWN_MODEL, "unknown_model", "openai/scripted"),
        (Fault.OUT_OF_QUOTA, "out_of_quota", "quota"),
        (Fault.RATE_LIMITED, "rate_limited", "Rate limit"),
        (Fault.NOT_JSON, "malformed", "openai/scripted"),
    ],
)
def test_what_went_wrong_is_one_line_and_status_1(cli, monkeypatch, fault, failure, said):
    monkeypatch.setenv("SOME_KEY", CANARY)
    script = [Answer(fault=fault, words=f"{said} for {CANARY}" if fault is not Fault.NOT_JSON else "")] * 2
    with ModelServer(script) as server:
        spoken = check(cli, server, settings="[key_env=SOME_KEY]", status=1)
        written = check(cli, server, "--json", settings="[key_env=SOME_KEY]", status=1)
        assert len(server.asked) == 2  # nothing is tried again
    assert said in spoken.out
    assert len(spoken.out.splitlines()) == 1
    assert (written.json["ok"], written.json["failure"]) == (False, failure)
    assert said in written.json["error"]
    assert CANARY not in spoken.out + spoken.err + written.out + written.err


def test_a_server_that_is_not_there_is_named(cli):
    with ModelServer([]) as server:
        pass
    answer = check(cli, server, "--json", status=1)
    assert answer.json["failure"] == "unreachable"
    assert server.url.split("/")[2] in answer.json["error"]


def test_a_missing_key_is_said_before_anything_is_asked(cli):
    answer = cli("models", "check", "openai/gpt-5-mini", status=2)
    assert "OPENAI_API_KEY" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("opnai/gpt-5", "did you mean 'openai'"),
        ("gpt-5", "is not PROVIDER/MODEL"),
        ("openai/gpt-5[price=cheap]", "'cheap' is not a price"),
        ("openai/gpt-5[temprature=1]", "did you mean 'temperature'"),
    ],
)
def test_a_spec_with_a_mistake_is_wrong_usage(cli, spec, said):
    assert said in cli("models", "check", spec, status=2).err
