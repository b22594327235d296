import asyncio

from evolve.archive.records import Plan
from evolve.mutation import Scored
from evolve.program import Evaluation, Outcome, Program, Reply, Task
from evolve.proposer import Proposer


class Sources:
    """Three generations of one program; keeps what was looked up."""

    def __init__(self) -> None:
        first = Program.make(0, {"a.py": "x = 0\n"})
        second = Program.make(1, {"a.py": "x = 1\n"}, (first,))
        self.programs = (first, second, Program.make(2, {"a.py": "x = 2\n"}, (second,)), Program.make(3, {"a.py": "x = 3\n"}))
        self.looked_up: list[int] = []

    def program_of(self, program_id):
        program = next(program for program in self.programs if program.program_id == program_id)
        self.looked_up.append(program.step)
        return program, Evaluation(Outcome.OK, float(program.step))


class Arm:
    """Does with a request what it is told to."""

    name = "arm"

    def __init__(self, look) -> None:
        self.look = look

    async def generate(self, request, rng):
        self.seen = self.look(request)
        return Reply(text="")


def asked(look):
    sources, arm = Sources(), Arm(look)
    first, _, third, failed = (program.program_id for program in sources.programs)
    task = Task("t", sources.programs[0].files)
    proposer = Proposer(task, 0, {"arm": arm}, sources, best_at=lambda version: first, advice=lambda: ("Think.",))
    asyncio.run(proposer.ask(Plan(4, 3, 0, third, (), "arm", (failed,)), 0, []))
    return arm.seen, sources


def test_ancestors_and_failed_children_are_looked_up_when_a_mutator_looks_at_them():
    _, sources = asked(lambda request: request.parent)
    assert sorted(sources.looked_up) == [0, 2]


def test_a_request_holds_the_ancestors_nearest_first_and_looks_them_up_once():
    def steps(request):
        assert bool(request.lineage)
        assert isinstance(request.lineage[0], Scored)
        return [scored.program.step for group in (request.lineage, request.lineage[:1], request.failures) for scored in group]

    seen, sources = asked(steps)
    assert seen == [1, 0, 1, 3]
    assert sorted(sources.looked_up) == [0, 0, 1, 2, 3]
