import asyncio

import numpy as np
import pytest

from evolve.archive.embeddings import HashedNgrams
from evolve.calibration import calibrated, distance, small_edits
from evolve.edits import mutable_text
from evolve.mutation import MutationRequest, Scored
from evolve.mutators.literals import LiteralTuning
from evolve.program import Evaluation, Outcome, Program
from evolve.rng import generator
from evolve.tasks.catalog import find

TASKS = ["circle_packing", "cache_eviction", "vehicle_routing", "lossless_compression"]


def embed(files):
    return HashedNgrams().embed(mutable_text(files))


@pytest.mark.parametrize("name", TASKS)
def test_small_edits_pass_and_copies_do_not(name):
    found = calibrated(find(name).files, embed, 0)
    assert found.min_distance is not None
    assert found.copy < found.min_distance < found.edits[0]


@pytest.mark.parametrize("name", TASKS)
def test_a_literal_tuned_by_the_local_arm_passes(name):
    files = find(name).files
    limit = calibrated(files, embed, 0).min_distance
    request = MutationRequest(find(name), Scored(Program.make(0, files), Evaluation(Outcome.OK, 1.0)))
    tuning = LiteralTuning()
    for step in range(30):
        child = tuning.apply(asyncio.run(tuning.generate(request, generator(1, step, "generate"))), request.parent.program)
        assert distance(embed(files), embed(child)) > limit


def test_a_copy_with_other_names_is_nearer_than_the_limit():
    files = find("circle_packing").files
    renamed = {path: text.replace("reach", "how_far").replace("centers", "middles") for path, text in files.items()}
    assert renamed != files
    assert distance(embed(files), embed(renamed)) < calibrated(files, embed, 0).min_distance


def test_the_same_program_and_seed_give_the_same_limit():
    files = find("vehicle_routing").files
    assert calibrated(files, embed, 3) == calibrated(files, embed, 3)


def test_edits_keep_to_what_may_change():
    files = {"a.py": "A = 1\n# EVOLVE-BLOCK-START\nx = 2\n# EVOLVE-BLOCK-END\n"}
    edits = list(small_edits(files, np.random.default_rng(0)))
    assert edits
    assert all(edit["a.py"].startswith("A = 1\n# EVOLVE-BLOCK-START\n") and edit != files for edit in edits)


def test_without_edits_there_is_no_limit():
    assert calibrated({"notes.txt": "no number here\n"}, embed, 0).min_distance is None


def test_an_embedder_that_tells_copies_from_nothing_gives_no_limit():
    rng = np.random.default_rng(0)
    assert calibrated({"a.py": "x = 1.5\n"}, lambda files: rng.normal(size=8).astype(np.float32), 0).min_distance is None
