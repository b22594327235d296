"""Seats serve orders in this process, without Ray."""

import threading

import pytest

from evolve.errors import IsolationError
from evolve.executors import local, messages
from evolve.executors.cluster import installation, parcel, seat
from evolve.executors.cluster.orders import Notice, Order, Refusal, unpack_answer
from evolve.program import Isolation, Outcome, Stage
from evolve.tasks.base import load

MANIFEST = 'name = "t"\nprogram = ["initial.py"]\n[limits]\ntimeout_s = 5\nwall_timeout_s = 60\npreload = []\n'
EVALUATE = "from evolve.evaluators import Score\nfrom pathlib import Path\n\ndef evaluate(program):\n"
TIMES_TEN = EVALUATE + "    return Score(program.call('f', 21) * int(Path(__file__).with_name('factor.txt').read_text()))\n"
PROGRAM = {"initial.py": "def f(x):\n    return 2 * x\n"}
HERE = ("node-1", "oak (10.0.0.1)")


class Served:
    """A seat whose node keeps parcels in a folder of the test."""

    def __init__(self, seat_):
        self.seat = seat_
        self.fetched = 0
        self.placed = 0

    def __call__(self, packed, *, sent=True, code=None, request=None, isolation=Isolation.PROCESS, order=None):
        def fetch():
            self.fetched += 1
            return packed.content

        asked = messages.request(Stage.EVALUATE, PROGRAM, 0) if request is None else request
        order = order or Order(packed.key, code or installation.code_sha256(), isolation, 30.0, asked)
        words = self.seat.evaluate(order, HERE, fetch if sent else None)
        notice = Notice.unpacked(next(words))
        if notice == Notice(*HERE):
            self.placed += 1
            notice = Notice.unpacked(next(words))
        rest = [*words]
        assert notice[:2] == HERE
        assert (notice.isolation is None) != (notice.refusal is None)
        assert len(rest) == (notice.refusal is None)
        return notice, unpack_answer(rest[0]) if rest else None


@pytest.fixture
def serve(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(parcel, "cache_root", lambda: tmp_path / "cache")
    before = {*threading.enumerate()}
    made = seat.Seat()
    (thread,) = {*threading.enumerate()} - before
    yield Served(made)
    made._vacate()
    made._loop.call_soon_threadsafe(made._loop.stop)
    thread.join()
    made._loop.close()


@pytest.fixture
def pack(tmp_path):
    def packed(name="t", evaluate=TIMES_TEN, factor=10):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {"task.toml": MANIFEST, "evaluate.py": evaluate, "factor.txt": str(factor), **PROGRAM}.items():
            (folder / file).write_text(text)
        made = parcel.pack(load(folder, "folder"))
        (folder / "factor.txt").unlink()  # what is evaluated with is what has travelled
        return made

    return packed


def test_a_seat_asks_for_the_parcel_once_and_then_serves(serve, pack):
    packed = pack()
    notice, answer = serve(packed, sent=False)
    assert (notice.refusal, notice.isolation, answer) == (Refusal.PARCEL, None, None)
    for sent in (True, False, True):
        notice, answer = serve(packed, sent=sent)
        assert (notice.refusal, notice.isolation) == (None, Isolation.PROCESS)
        assert (answer.evaluation.outcome, answer.evaluation.objective) == (Outcome.OK, 420.0)
    assert serve.fetched == 1


def test_a_seat_that_is_not_ready_says_where_it_is_before_it_gets_ready(serve, pack):
    packed = pack()
    fetched = []

    def fetch():
        fetched.append(True)
        return packed.content

    order = Order(packed.key, installation.code_sha256(), Isolation.PROCESS, 30.0, {})
    words = serve.seat.evaluate(order, HERE, fetch)
    assert Notice.unpacked(next(words)) == Notice(*HERE)
    assert not fetched
    assert Notice.unpacked(next(words)).isolation is Isolation.PROCESS
    assert fetched
    assert [unpack_answer(word) for word in words] == [None]


def test_a_seat_that_is_ready_evaluates_without_another_word(serve, pack):
    one, other = pack("one"), pack("other")
    placed = []
    for packed in (one, one, other, other, one):
        serve(packed)
        placed.append(serve.placed)
    assert placed == [1, 1, 2, 2, 3]


def test_another_task_takes_the_seat_and_the_first_may_take_it_again(serve, pack):
    one, other = pack("one"), pack("other", factor=100)
    found = [serve(packed, sent=sent)[1].evaluation.objective for packed, sent in ((one, True), (other, True), (one, False))]
    assert found == [420.0, 4200.0, 420.0]
    assert serve.fetched == 2


def test_an_order_that_asks_nothing_proves_that_the_node_evaluates(serve, pack):
    notice, answer = serve(pack(), request={})
    assert (notice.refusal, notice.isolation, answer) == (None, Isolation.PROCESS, None)


@pytest.mark.parametrize("stage", [Stage.HOLDOUT, Stage.PAIRED])
def test_a_part_of_the_evaluator_that_there_is_not_gives_nothing(serve, pack, stage):
    assert serve(pack(), request=messages.request(stage, PROGRAM, 0))[1] is None


def test_a_program_that_fails_is_an_answer_like_any_other(serve, pack):
    request = messages.request(Stage.EVALUATE, {"initial.py": "def f(x):\n    raise KeyError(x)\n"}, 0)
    assert serve(pack(), request=request)[1].evaluation.outcome is Outcome.CRASHED


def test_orders_of_other_code_are_refused_even_by_a_seat_that_is_ready(serve, pack):
    packed = pack()
    mine = installation.code_sha256()
    for _ in range(2):
        notice, answer = serve(packed, code="f" * 64)
        assert (notice.refusal, answer) == (Refusal.CODE, None)
        assert f"another evolve is installed there (code {mine[:12]}, and the run's is ffffffffffff)" in notice.why
        assert serve(packed)[1].evaluation.objective == 420.0


def test_a_task_that_does_not_load_is_refused_with_the_reason_and_leaves_the_seat_free(serve, pack):
    notice, _ = serve(pack("broken", "import no_such_module\n\ndef evaluate(program):\n    return 1\n"))
    assert notice.refusal is Refusal.TASK
    assert "no_such_module" in notice.why
    assert serve(pack())[1].evaluation.objective == 420.0


def test_a_level_that_is_not_to_be_had_is_refused(serve, pack, monkeypatch):
    def lacking(level):
        raise IsolationError(f"level {level} is not to be had")

    monkeypatch.setattr(local, "require_level", lacking)
    notice, _ = serve(pack())
    assert (notice.refusal, notice.why) == (Refusal.ISOLATION, "level process is not to be had")


def test_a_parcel_that_arrives_damaged_is_the_nodes_failure(serve, pack):
    packed = pack()
    notice, _ = serve(packed._replace(content=packed.content[:-20]))
    assert notice.refusal is Refusal.BROKEN
    assert "arrived damaged" in notice.why
    assert serve(packed)[1].evaluation.objective == 420.0


def test_a_full_disk_passes(serve, pack, monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parcel, "cache_root", full)
    notice, _ = serve(pack())
    assert notice.refusal is Refusal.SHORT
    assert "No space left on device" in notice.why


def test_other_accelerators_make_the_seat_ready_anew(serve, pack, monkeypatch):
    packed = pack()
    workers = []
    for seen in ("0", "0", "1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
        serve(packed, request={})
        workers.append(serve.seat._executor)
    assert workers[0] is workers[1] is not workers[2]


def test_a_process_has_one_seat(serve, pack, monkeypatch):
    monkeypatch.setattr(seat, "_seat", None)
    monkeypatch.setattr(seat, "Seat", lambda: serve.seat)
    packed = pack()
    order = Order(packed.key, installation.code_sha256(), Isolation.PROCESS, 30.0, {}).packed()
    placed, refused = seat.serve(order, HERE)
    assert Notice.unpacked(placed) == Notice(*HERE)
    assert Notice.unpacked(refused).refusal is Refusal.PARCEL
    _, notice, _ = seat.serve(order, HERE, lambda: packed.content)
    assert Notice.unpacked(notice).isolation is Isolation.PROCESS
    assert seat._seat is serve.seat
