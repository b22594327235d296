from evolve.archive.records import Judgement, Likeness, Screen, Verdict
from evolve.mutation import Scored
from evolve.program import Evaluation, Outcome, Program
from evolve.resemblance import repeated

FILES = {"a.py": "".join(f"x{k} = {k}\n" for k in range(300))}
KNOWN = Scored(Program.make(1, FILES), Evaluation(Outcome.OK, 2.5))


def screen(verdict: Verdict) -> Screen:
    return Screen(2, 0, 1, verdict, "abc", 0.999)


def test_a_near_copy_is_shown_what_differs_and_what_its_original_scored():
    said = repeated(screen(Verdict.NEAR), KNOWN, {"a.py": FILES["a.py"].replace("x7 ", "seven ")})
    assert "program abc, which scored 2.5" in said
    assert "-x7 = 7\n+seven = 7\n" in said
    assert "x8" not in said


def test_a_copy_is_told_that_layout_alone_differs():
    said = repeated(screen(Verdict.KNOWN), Scored(KNOWN.program, Evaluation(Outcome.CRASHED)), FILES)
    assert "program abc, which ended as crashed" in said
    assert "comments and layout" in said


def test_a_long_difference_is_cut():
    said = repeated(screen(Verdict.NEAR), KNOWN, {"a.py": FILES["a.py"].replace("x", "y")})
    assert len(said) < 2500
    assert said.endswith("(and more)\n")


def test_a_judged_copy_is_told_that_a_model_found_it_and_why():
    child = {"a.py": FILES["a.py"].replace("x7 = 7", "x7 = (7)")}
    judgement = Judgement(2, 0, Likeness.SAME, "only brackets")
    said = repeated(screen(Verdict.NEAR), KNOWN, child, judgement)
    assert "does the same as program abc, which scored 2.5: so a model found that compared the two (only brackets); make" in said
    assert "-x7 = 7\n+x7 = (7)\n" in said
    bare = repeated(screen(Verdict.NEAR), KNOWN, child, Judgement(2, 0, Likeness.SAME))
    assert "compared the two; make" in bare
