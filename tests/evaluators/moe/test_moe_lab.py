"""Scores of the tasks of the lab, at the smallest size and in a real sandbox."""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, lasting  # noqa: E402 - after what may skip
from moe_sandbox_kit import server  # noqa: E402 - after what may skip

from evolve.errors import ConfigError, TaskError  # noqa: E402 - after what may skip
from evolve.evaluators.base import Invalid  # noqa: E402 - after what may skip
from evolve.evaluators.moe import fitness, lab  # noqa: E402 - after what may skip
from evolve.evaluators.moe.fitness import Reference  # noqa: E402 - after what may skip
from evolve.evaluators.moe.lab import Lab, LabConfig, variants_of  # noqa: E402 - after what may skip
from evolve.evaluators.moe.methods import catalog  # noqa: E402 - after what may skip
from evolve.evaluators.moe.reference import REFERENCES  # noqa: E402 - after what may skip
from evolve.evaluators.moe.spec import SIZES  # noqa: E402 - after what may skip
from evolve.evaluators.moe.trace import load_trace  # noqa: E402 - after what may skip
from evolve.evaluators.sandbox.program import SandboxedProgram  # noqa: E402 - after what may skip
from evolve.tasks.catalog import find  # noqa: E402 - after what may skip

TASKS = ("moe_balance_loss", "moe_router", "moe_bias_schedule", "moe_sparse_top1")
SWITCH = catalog.source_of("switch").replace("def schedule", "def unused")
KEEPS_COUNT = """
CALLS = []

def loss(load, probability):
    CALLS.append(1)
    return len(CALLS) * (load * probability).sum()
"""


@pytest.fixture(scope="module")
def one_server():
    with server() as found:
        yield found


@pytest.fixture
def small(monkeypatch):
    """A lab whose sizes are all tiny, with a reference made up for two seeds."""
    monkeypatch.setattr(lab, "SIZES", {name: dataclasses.replace(TINY, name=name) for name in SIZES})
    monkeypatch.setattr(lab, "REFERENCES", {("nano", False): Reference({0: 5.0, 1: 5.1}, max_violation=0.5)})
    monkeypatch.setattr(lab, "FRESH", (100, 101))
    return lambda hooks=("loss",), fixed=(), **more: Lab(LabConfig(**{"seeds": (0, 1), "screen": -1e9, **more}), hooks, fixed)


def scored(one_server, stage, source, *more):
    with SandboxedProgram(one_server, {"initial.py": source}, 0) as program:
        return stage(program, *more)


def test_a_program_is_trained_with_every_seed_and_held_against_the_reference_with_the_same(one_server, small):
    score = scored(one_server, small().evaluate, SWITCH)
    assert list(score.instances) == ["seed 0", "seed 1"]
    assert list(score.values) == list(score.instances.values())
    assert score.metrics["cross_entropy"].value > 0
    assert "Held-out cross-entropy" in score.feedback


def test_a_program_whose_first_seed_is_hopeless_is_trained_no_more(one_server, small):
    score = scored(one_server, small(screen=1e6).evaluate, SWITCH)
    assert list(score.instances) == ["seed 0"]


def test_the_value_of_a_seed_is_its_gain_in_deviations_less_what_its_load_costs(one_server, small):
    score = scored(one_server, small(seeds=(1,)).evaluate, SWITCH)
    reference = lab.REFERENCES["nano", False]
    found = {name: getattr(metric, "value", metric) for name, metric in score.metrics.items()}
    summary = fitness.Summary(
        *(found[name] for name in ("cross_entropy", "max_violation", "dead_experts", "active_flops", "l1_imbalance"))
    )
    assert score.values == [pytest.approx(fitness.constrained(summary, reference, 1))]


def test_a_sweep_trains_with_four_coefficients(one_server, small, monkeypatch):
    seen = []
    trained = lab.train
    monkeypatch.setattr(
        lab,
        "train",
        lambda method, size, seed, **more: seen.append(size.training.coefficient_factor) or trained(method, size, seed, **more),
    )
    score = scored(one_server, small(fitness="frontier", seeds=(0,), screen=-1.0).evaluate, SWITCH)
    assert sorted(seen) == pytest.approx([0.1, 1.0, 3.0, 10.0])
    # Hardly trained models are worse than the corner that areas are measured from.
    assert score.values == [score.metrics["frontier"]] == [0.0]


def test_without_a_reference_a_fitness_that_needs_one_says_which_there_is(one_server, small):
    with pytest.raises(TaskError, match="'constrained' needs a reference of size nano with seed 7; there is one with seeds 0, 1"):
        scored(one_server, small(seeds=(7,)).evaluate, SWITCH)
    assert scored(one_server, small(seeds=(7,), fitness="shinka").evaluate, SWITCH).values[0] < 0


def test_only_the_tasks_hooks_may_be_defined_but_for_published_methods(one_server, small):
    with pytest.raises(Invalid, match="defines score; this task leaves to it: loss"):
        scored(one_server, small().evaluate, catalog.source_of("loss_free"))
    assert len(scored(one_server, small().paired, catalog.source_of("loss_free"), 1).values) == 1


def test_hooks_that_are_fixed_are_the_references_whatever_the_program(one_server, small):
    whole = catalog.source_of("loss_free")
    update = whole[whole.index("RATE =") :].partition("def score")[0] + "def update" + whole.partition("def update")[2]
    source = f"import torch\nfrom torch import Tensor\n{update}"
    assert "def score" not in source
    fixed = scored(one_server, small(hooks=("update",), fixed=("score",), seeds=(0,)).evaluate, source)
    free = scored(one_server, small(hooks=("score", "update"), seeds=(0,)).evaluate, whole)
    assert fixed.values == free.values
    assert fixed.values != scored(one_server, small(hooks=("update",), seeds=(0,)).evaluate, source).values
    with pytest.raises(Invalid, match="defines score; this task leaves to it: update"):
        scored(one_server, small(hooks=("update",), fixed=("score",)).evaluate, whole)


def test_smoke_refuses_a_program_that_keeps_something_between_calls(one_server, small):
    scored(one_server, small().smoke, SWITCH)
    with pytest.raises(Invalid, match="trained twice with the same seed, the losses differ from step"):
        scored(one_server, small().smoke, KEEPS_COUNT)


def test_smoke_refuses_expert_choice(one_server, small):
    with pytest.raises(Invalid, match="routed otherwise with other tokens beside them"):
        scored(
            one_server,
            small(hooks=("select", "gate")).smoke,
            catalog.source_of("expert_choice").replace("def schedule", "def unused"),
        )


def test_a_program_that_knows_tokens_again_is_asked_in_a_process_that_does_not(one_server, small):
    remembers = """
import torch

KNOWN = []

def score(logits):
    ranks = logits.argsort(0).float()
    answers = []
    for row, rank in zip(logits, ranks):
        near = [answer for known, answer in KNOWN if torch.allclose(known, row, rtol=1e-3, atol=1e-6)]
        answers.append(near[0] if near else rank)
        KNOWN.append((row.clone(), answers[-1]))
    return torch.stack(answers), logits.softmax(-1)
"""
    with pytest.raises(Invalid, match="routed otherwise with other tokens beside them"):
        scored(one_server, small(hooks=("score",)).smoke, remembers)


def test_a_finished_result_is_trained_with_fresh_seeds_and_in_every_variant(one_server, small, monkeypatch):
    # Shapes of the real sizes take seconds each.
    monkeypatch.setattr(lab, "variants_of", lambda size: dict(list(variants_of(size).items())[3:]))
    score = scored(one_server, small().holdout, SWITCH)
    assert len(score.values) == len(lab.FRESH)
    assert set(score.metrics) == {
        f"{name}_{what}" for name in ("fresh", "twice_as_wide", "domain_shift") for what in ("cross_entropy", "max_violation")
    }
    assert [line.split(":")[0] for line in score.feedback.splitlines()[1:]] == ["fresh", "twice_as_wide", "domain_shift"]


@pytest.mark.parametrize("kind", ["shinka", "frontier"])
def test_a_finished_result_is_valued_as_the_task_says(one_server, small, monkeypatch, kind):
    monkeypatch.setattr(lab, "variants_of", lambda size: {})
    task = small(fitness=kind)
    held_out = scored(one_server, task.holdout, SWITCH)
    assert held_out.values == [scored(one_server, task.paired, SWITCH, seed).values[0] for seed in lab.FRESH]


def test_a_program_whose_state_begins_anew_with_every_training_is_refused(one_server, small, monkeypatch):
    monkeypatch.setitem(lab.SIZES, "smoke", lasting(TINY, 60))  # the guard is not to ask in every step
    keeps = KEEPS_COUNT.replace("(load, probability):", "(load, probability, step):\n    if step == 0:\n        CALLS.clear()")
    with pytest.raises(Invalid, match="loss said something else in step"):
        scored(one_server, small().smoke, keeps)


def test_experts_that_are_given_nothing_are_no_balance(one_server, small):
    nobody = "def select(selection):\n    return selection > 9"
    evenly = scored(one_server, small(hooks=("loss",), fitness="shinka").paired, SWITCH, 0)
    idle = scored(one_server, small(hooks=("select",), fitness="shinka").paired, nobody, 0)
    assert (evenly.metrics["training_idle_choices"], idle.metrics["training_idle_choices"]) == (0.0, 1.0)
    assert (evenly.metrics["idle_choices"], idle.metrics["idle_choices"]) == (0.0, 1.0)
    assert idle.values == [pytest.approx(-idle.metrics["training_cross_entropy"] - 1)]
    assert idle.values[0] < evenly.values[0]


def test_variants_of_experts_of_unequal_cost_have_such_experts_too():
    for size in variants_of(dataclasses.replace(SIZES["nano"], model=SIZES["nano"].model.unequal())).values():
        assert size.model == size.model.unequal()


def test_variants_change_one_thing_each():
    nano = SIZES["nano"]
    variants = variants_of(nano)
    assert {name: (size.model.experts, size.model.active) for name, size in variants.items()} == {
        "64_of_8": (64, 8),
        "32_of_2": (32, 2),
        "64_of_1": (64, 1),
        "twice_as_wide": (16, 2),
        "domain_shift": (16, 2),
    }
    assert (variants["twice_as_wide"].model.width, variants["twice_as_wide"].model.expert_width) == (128, 128)
    assert variants["domain_shift"].training.shift == 0.85
    assert all(size.training == nano.training for name, size in variants.items() if name != "domain_shift")


def test_a_score_draws_its_loads_and_writes_them_for_the_placement_simulator(one_server, small, tmp_path):
    score = scored(one_server, small(seeds=(0,)).evaluate, SWITCH)
    score.figure(str(tmp_path / "figure.png"))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    score.artifacts["trace.npz"](str(tmp_path / "trace.npz"))
    trace = load_trace(tmp_path / "trace.npz")
    assert trace.load.shape == (TINY.training.steps, TINY.model.layers, TINY.model.experts)
    assert np.all(trace.load.sum(-1) == TINY.tokens * TINY.model.active)
    assert trace.domain.shape == (TINY.training.steps, TINY.training.micro_batches)


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ('sise = "nano"', ConfigError, "unknown key 'sise'; did you mean 'size'"),
        ('size = "nanno"', TaskError, "size = 'nanno'; did you mean 'nano'"),
        ('fitness = "best"', TaskError, "fitness = 'best'"),
        ("seeds = []", TaskError, "at least one"),
        ("seeds = [1, 2, 1]", TaskError, "seeds must all differ"),
        ("size = ", ConfigError, "lab.toml"),
    ],
)
def test_settings_that_cannot_be_say_so(tmp_path, text, error, why):
    (tmp_path / "lab.toml").write_text(text)
    with pytest.raises(error, match=why):
        LabConfig.read(tmp_path / "lab.toml")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"size": "micro"}, "'constrained' needs a reference of size micro with seed 0; there is none at all; choose"),
        ({"size": "sparse", "unequal": True}, "of size sparse and experts of unequal cost with seed 0; there is none at all"),
        ({"seeds": (0, 11)}, "of size nano with seed 11; there is one with seeds 0, 1, 2"),
    ],
)
def test_what_cannot_be_valued_is_said_before_anything_is_trained(settings, why):
    with pytest.raises(TaskError, match=why):
        Lab(LabConfig(**settings), ("loss",))


def test_a_size_for_a_gpu_says_that_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TaskError, match="size 'small' needs a GPU, and torch finds none here; choose a smaller size"):
        Lab(LabConfig(size="small", fitness="shinka"), ("loss",))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_of_the_lab_is_complete_and_has_a_reference(name):
    task = find(name)
    config = LabConfig.read(task.folder / "lab.toml")
    reference = REFERENCES[config.size, config.unequal]
    assert set(config.seeds) <= set(reference.cross_entropy)
    manifest = tomllib.loads(Path(task.folder, "task.toml").read_text("utf-8"))
    assert {entry["module"].rsplit(".", 1)[1] for entry in manifest["baselines"]} <= set(catalog.METHODS)
    assert all(Path(task.folder, attack["path"]).is_file() for attack in manifest["attacks"])


def test_the_reference_of_the_search_size_has_the_fresh_seeds_and_all_variants():
    assert set(range(100, 110)) <= set(REFERENCES["nano", False].cross_entropy)
    for size in variants_of(SIZES["nano"]).values():
        assert 100 in REFERENCES[size.name, False].cross_entropy
