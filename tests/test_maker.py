from model_kit import improver

import evolve
from evolve.config import resolve
from evolve.llm.openai import OpenAIModel
from evolve.llm.prices import PriceTable, shipped
from evolve.maker import check_models
from evolve.program import Task
from evolve.prompts.templates import Templates
from evolve.testing.model_server import ModelServer

TASK = Task("t", {"a.py": "x = 1"})


def counting(monkeypatch, kind, name) -> list[tuple]:
    """Counts calls of a method, which still does what it does."""
    seen = []
    method = getattr(kind, name)

    def counted(*arguments, **more):
        seen.append(arguments)
        return method(*arguments, **more)

    monkeypatch.setattr(kind, name, staticmethod(counted) if isinstance(vars(kind)[name], classmethod) else counted)
    return seen


def test_a_run_reads_prices_and_templates_once_and_closes_every_client(monkeypatch, tmp_path, parabola):
    (tmp_path / "own.toml").write_text('[openai]\n"scripted" = { price = "1/2" }\n')
    shipped()  # which every run of a process shares
    loads, reads = counting(monkeypatch, Templates, "load"), counting(monkeypatch, PriceTable, "read")
    made, closed = counting(monkeypatch, OpenAIModel, "__init__"), counting(monkeypatch, OpenAIModel, "close")
    with ModelServer(improver) as server:
        evolve.run(
            parabola,
            steps=2,
            arms=[f"openai/scripted@{server.url}"],
            budget_usd=1.0,
            settings={"prices": str(tmp_path / "own.toml")},
            archive=tmp_path / "a.db",
        )
    assert (len(loads), len(reads), len(made), len(closed)) == (1, 1, 1, 1)


def test_models_are_checked_without_a_client_for_each(monkeypatch):
    made = counting(monkeypatch, OpenAIModel, "__init__")
    config = resolve(TASK, options={"arms": ["openai/m@http://127.0.0.1:1/v1"]})
    assert [spec.name for spec in check_models(TASK, config, {}).specs] == ["openai/m"]
    assert made == []
