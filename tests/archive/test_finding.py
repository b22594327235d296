import pytest
from archive_kit import INITIAL, begin, new_run, ok, write_step

from evolve.archive.store import Archive
from evolve.errors import RunNotFound


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True) as opened:
        for name in ("quick", "quicker", "slow"):
            opened.create_run(new_run(name))
        yield opened


@pytest.mark.parametrize(("text", "run"), [(None, 3), ("1", 1), ("quick", 1), ("quicke", 2), ("s", 3), ("3", 3)], ids=str)
def test_runs_are_found_by_number_name_or_beginning(archive, text, run):
    assert archive.find_run(text) == run


def test_a_beginning_of_several_names_lists_them(archive):
    with pytest.raises(RunNotFound, match="'qui' begins the names of 2 runs: quick, quicker; write more of it"):
        archive.find_run("qui")


@pytest.mark.parametrize("text", ["quock", "4"])
def test_a_name_that_is_none_gets_the_nearest(archive, text):
    hint = "did you mean 'quick'" if text == "quock" else "known: quick, quicker, slow"
    with pytest.raises(RunNotFound, match=f"has no run '{text}'; {hint}"):
        archive.find_run(text)


def test_an_archive_without_runs_says_how_to_make_one(where):
    with (
        Archive.open(where, create=True) as empty,
        pytest.raises(RunNotFound, match="has no run yet; `evolve run TASK`"),
    ):
        empty.find_run(None)


@pytest.fixture
def programs(archive):
    """Two runs with one initial program and steps of their own."""
    made = {}
    for run, steps in ((1, (1, 2, 3)), (2, (4, 5))):
        with archive.writer(run) as writer:
            begin(writer)
            made[run] = [write_step(writer, step, ok(1.0), version=k + 1).program_id for k, step in enumerate(steps)]
    return made


def test_programs_are_found_by_the_unique_beginning_of_an_identifier(archive, programs):
    for run, names in programs.items():
        for name in names:
            assert archive.find_program(None, name[:8]) == archive.find_program(run, name) == (run, name)


def test_a_program_of_several_runs_is_the_latest_ones(archive, programs):
    assert archive.find_program(None, INITIAL.program_id[:10]) == (2, INITIAL.program_id)
    assert archive.find_program(1, INITIAL.program_id[:10]) == (1, INITIAL.program_id)


def test_a_beginning_of_several_programs_lists_them(where):
    with Archive.open(where, create=True) as archive, archive.writer(archive.create_run(new_run())) as writer:
        begin(writer)
        names = [write_step(writer, step, ok(1.0)).program_id for step in range(1, 18)]
        # Seventeen identifiers and sixteen hexadecimal digits: two begin alike.
        first = next(letter for letter in "0123456789abcdef" if sum(name.startswith(letter) for name in names) > 1)
        with pytest.raises(RunNotFound, match=rf"'{first}' begins several programs of run 1: {first}\w+ \(run 1, step \d+\), "):
            archive.find_program(1, first)


@pytest.mark.parametrize("text", ["", "nonsense", "%", "_"])
def test_a_program_that_is_none_is_named(archive, programs, text):
    with pytest.raises(RunNotFound, match=f"the archive has no program '{text}'"):
        archive.find_program(None, text)


def test_a_program_of_another_run_is_not_found(archive, programs):
    with pytest.raises(RunNotFound, match="run 2 has no program"):
        archive.find_program(2, programs[1][0])
