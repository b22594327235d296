"""Scores a cache's policy by what it misses, in conversation: it decides before it hears of the next request."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from traces import fewest_possible, least_recently_used, traces

from evolve.evaluators import Invalid, IsolatedProgram, Metric, Score, Session
from evolve.evaluators.timing import interleaved

SEED, LENGTH, CAPACITY = 20_240_229, 1_500, 48
#: Requests of the trace that times are compared on.
TIMED = 300
REFERENCE = Path(__file__).with_name("reference.js").read_text(encoding="utf-8")


def evaluate(program: IsolatedProgram) -> Score:
    requests = traces(SEED, LENGTH)
    missed = {name: converse(program, trace)[0] for name, trace in requests.items()}
    usual = {name: least_recently_used(trace, CAPACITY) for name, trace in requests.items()}
    fewest = {name: fewest_possible(trace, CAPACITY) for name, trace in requests.items()}
    reference = program.sibling({"initial.js": REFERENCE})
    timed = requests["scan"][:TIMED]
    speed = interleaved(lambda: converse(program, timed)[1], lambda: converse(reference, timed)[1], rounds=2)
    metrics = {f"misses_{name}": Metric(count, "minimize") for name, count in missed.items()}
    times = {"decide_s": median(speed.program_s), "reference_s": median(speed.reference_s)}
    lines = [f"{name}: {missed[name]} of {LENGTH} missed (LRU {usual[name]}, knowing the future {fewest[name]})" for name in missed]
    return Score(sum(missed.values()), {**metrics, **times}, "\n".join(lines))


def converse(program: IsolatedProgram, trace: Sequence[int]) -> tuple[int, float]:
    """Plays a trace to a policy: how many requests it missed, and the CPU seconds that it needed after it had begun."""
    with program.session() as session:
        session.send(f"capacity {CAPACITY}")
        if session.receive_line() != b"ready":
            raise Invalid("the first line must be answered with: ready")
        begun_s = session.cpu_s
        misses = _play(session, trace)
        spent_s = session.cpu_s - begun_s
    return misses, spent_s


def _play(session: Session, trace: Sequence[int]) -> int:
    # What is in the cache is known here, whatever the policy believes.
    cached: set[int] = set()
    misses = 0
    lines: list[str] = []  # what needs no answer goes along with the next line that does
    for number, key in enumerate(trace):
        if key in cached:
            lines.append(f"hit {key}")
            continue
        misses += 1
        lines.append(f"{'add' if len(cached) < CAPACITY else 'full'} {key}")
        if len(cached) == CAPACITY:
            session.send("\n".join(lines))
            lines.clear()
            cached.remove(_victim(session, cached, number))
        cached.add(key)
    return misses


def _victim(session: Session, cached: set[int], number: int) -> int:
    answer = session.receive_line()
    # Digits only: int() would take blanks, signs and underscores as well.
    if not answer.isdigit() or len(answer) > 9 or int(answer) not in cached:
        raise Invalid(f"request {number}: the answer {answer[:50]!r} is not a key that is in the cache")
    return int(answer)
