import asyncio
import threading

import numpy as np
import pytest

from evolve.archive.embeddings import pack, unpack
from evolve.budget import Dollars
from evolve.errors import ModelError
from evolve.llm.base import CallFailed, Failure, Usage
from evolve.llm.call_config import CallConfig
from evolve.llm.calling import Caller
from evolve.llm.embedding_format import Embedded
from evolve.llm.specs import ModelSpec
from evolve.vectors import RecordedVectors, ServedVectors, ThreadedVectors, longest_piece, source_key


class Shelf:
    """Keeps vectors in memory."""

    def __init__(self):
        self.kept, self.writes = {}, []

    def vectors(self, keys):
        return {key: self.kept[key] for key in keys if key in self.kept}

    def keep(self, vectors):
        self.writes.append(sorted(vectors))
        self.kept.update(vectors)


class Ledger:
    def __init__(self):
        self.begun = []

    def number(self, step, attempt):
        return sum((call.step, call.attempt) == (step, attempt) for call in self.begun)

    def began(self, call):
        self.begun.append(call)

    def ended(self, call):
        pass


class Counting:
    """A model of embeddings that counts letters, and takes texts up to a length."""

    name = "openai/counting"

    def __init__(self, takes=10**9):
        self.asked, self.takes = [], takes
        self.waiting = None

    async def complete(self, request):
        texts = [message.text for message in request.messages]
        self.asked.append(texts)
        if self.waiting is not None:
            await self.waiting.wait()
        if max(map(len, texts)) > self.takes:
            raise CallFailed("too long", Failure.CONTEXT_OVERFLOW)
        vectors = tuple(np.array([1.0 + text.count(letter) for letter in "abc"], np.float32) for text in texts)
        return Embedded("", usage=Usage(input=1), vectors=vectors)

    async def close(self):
        pass


def served(model, shelf, longest=100):
    rng = np.random.default_rng(0)
    config = CallConfig(give_up_s=0.0)
    caller = Caller(model, ModelSpec("openai", "counting"), None, Dollars(None), Ledger(), rng=rng, config=config, waits=False)
    return ServedVectors("counting", caller, shelf, longest)


def of(vectors, *batch):
    return asyncio.run(vectors.of(batch, 1, 0))


def test_what_is_known_is_not_asked_about():
    model, shelf = Counting(), Shelf()
    vectors = served(model, shelf)
    [first] = of(vectors, {"a.py": "aab"})
    [again] = of(vectors, {"a.py": "aab"})
    assert model.asked == [["aab"]]
    assert np.array_equal(first, again)
    assert first == pytest.approx(np.array([3.0, 2.0, 1.0]) / np.sqrt(14), rel=2**-10)
    assert np.array_equal(first, unpack(pack(first)))


def test_several_sources_are_asked_about_in_few_requests_each_once():
    model = Counting()
    sources = [{"a.py": "a" * (k % 40 + 1)} for k in range(80)]
    found = of(served(model, Shelf()), *sources)
    assert [len(texts) for texts in model.asked] == [32, 8]
    assert len(found) == 80
    assert np.array_equal(found[0], found[40])


def test_two_children_that_are_alike_are_asked_about_once_also_at_the_same_time():
    async def both():
        model, shelf = Counting(), Shelf()
        vectors = served(model, shelf)
        model.waiting = asyncio.Event()
        tasks = [asyncio.create_task(vectors.of([{"a.py": "abc"}], step, 0)) for step in (1, 2)]
        await asyncio.sleep(0)
        model.waiting.set()
        one, two = await asyncio.gather(*tasks)
        return model.asked, one, two

    asked, [one], [two] = asyncio.run(both())
    assert asked == [["abc"]]
    assert np.array_equal(one, two)


def test_a_long_text_is_embedded_in_pieces_that_count_by_their_length():
    model, shelf = Counting(), Shelf()
    vectors = served(model, shelf, longest=5)
    [found] = of(vectors, {"a.py": "aaaa\nbb\n"})
    assert model.asked == [["aaaa\n", "bb\n"]]
    directions = [np.array([5.0, 1.0, 1.0]) / np.sqrt(27), np.array([1.0, 3.0, 1.0]) / np.sqrt(11)]
    mean = 5 * directions[0] + 3 * directions[1]
    assert found == pytest.approx(mean / np.linalg.norm(mean), rel=2**-9)
    of(vectors, {"a.py": "aaaa\nbb\n"}, {"a.py": "aaaa\ncc\n"})
    assert model.asked[1:] == [["cc\n"]]


def test_a_text_that_its_model_finds_too_long_is_cut_again():
    model = Counting(takes=30)
    of(served(model, Shelf(), longest=100), {"a.py": "".join(f"line {k}\n" for k in range(9))})
    assert all(len(text) <= 30 for text in model.asked[-1])
    assert "".join(model.asked[-1]) == model.asked[0][0]


def test_a_model_that_finds_everything_too_long_is_given_up():
    with pytest.raises(CallFailed, match="too long"):
        of(served(Counting(takes=1), Shelf(), longest=1000), {"a.py": "x" * 1000})


def test_vectors_are_kept_as_they_come_also_when_another_request_fails():
    class Breaks(Counting):
        async def complete(self, request):
            if any("zz" in message.text for message in request.messages):
                raise CallFailed("no such model", Failure.UNKNOWN_MODEL)
            return await super().complete(request)

    shelf = Shelf()
    sources = [{"a.py": "a" * (k + 1)} for k in range(32)]
    with pytest.raises(CallFailed, match="no such model"):
        of(served(Breaks(), shelf), *sources, {"a.py": "zz"})
    assert len(shelf.kept) == 32


class Local:
    """An embedder that remembers the thread that it was made and asked in."""

    def __init__(self):
        self.threads = {threading.current_thread().name}
        self.asked = []

    def embed(self, files):
        self.threads.add(threading.current_thread().name)
        self.asked.append(files)
        return np.array([len(files), 0.1], np.float32)


def threaded(make, shelf, *batches):
    async def all_of_them():
        vectors = ThreadedVectors("mine", make, shelf)
        try:
            return [await vectors.of(batch, 1, 0) for batch in batches]
        finally:
            await vectors.close()

    return asyncio.run(all_of_them())


def test_an_embedder_of_this_process_is_made_and_asked_in_one_thread_of_its_own_and_once_about_each_source():
    made, shelf = [], Shelf()

    def make():
        made.append(Local())
        return made[-1]

    batch = [{"a.py": "x"}, {"a.py": "y", "b.py": "z"}]
    [[first, _], [again, _]] = threaded(make, shelf, batch, batch)
    [local] = made
    assert len(local.threads) == 1
    assert threading.current_thread().name not in local.threads
    assert len(local.asked) == 2
    # As it was made, and not of length 1: lengths may say something.
    assert first.tolist() == again.tolist() == unpack(pack(np.array([1.0, 0.1]))).tolist()


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.nan, 1.0], [[1.0]], 1.0])
def test_an_embedder_that_makes_no_vector_is_named(vector):
    class Wrong(Local):
        def embed(self, files):
            return np.array(vector)

    with pytest.raises(ModelError, match="embedder mine must make a vector of finite numbers"):
        threaded(Wrong, Shelf(), [{"a.py": "x"}])


def test_an_embedder_that_breaks_is_an_error_of_its_model():
    def make():
        raise RuntimeError("no weights")

    with pytest.raises(ModelError, match="embedder mine failed: RuntimeError: no weights"):
        threaded(make, Shelf(), [{"a.py": "x"}])


def test_recorded_vectors_are_given_and_nobody_is_asked():
    shelf = Shelf()
    shelf.keep({source_key("mine", {"a.py": "x"}): np.array([1.0], np.float32)})
    assert of(RecordedVectors("mine", shelf), {"a.py": "x"})[0].tolist() == [1.0]
    with pytest.raises(ModelError, match="no embedding by mine is recorded"):
        of(RecordedVectors("mine", shelf), {"a.py": "y"})


def test_keys_tell_embedders_paths_and_texts_apart():
    keys = {source_key(name, files) for name in ("a", "b") for files in ({"x": "1"}, {"y": "1"}, {"x": "2"}, {})}
    assert len(keys) == 8
    assert source_key("a", {"x": "1", "y": "2"}) == source_key("a", {"y": "2", "x": "1"})
    assert source_key("a", {"x": "\ud83e"})


def test_pieces_are_short_where_nobody_says_what_a_model_takes():
    assert longest_piece(8191) == 16382
    assert longest_piece(None) == 1024
