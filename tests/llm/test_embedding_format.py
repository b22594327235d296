import numpy as np
import pytest

from evolve.llm.embedding_format import read_embeddings
from evolve.llm.faults import Malformed


def body(*vectors, **more):
    return {"data": [{"embedding": vector, "index": index} for index, vector in enumerate(vectors)], **more}


def test_a_server_that_numbers_nothing_keeps_to_the_order():
    found = read_embeddings({"data": [{"embedding": [1]}, {"embedding": [2]}]}, 2)
    assert [vector.tolist() for vector in found.vectors] == [[1.0], [2.0]]
    assert found.counted is None


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        body([1.0]),
        body([1.0], [1.0, 2.0]),
        body([1.0], [0.0]),
        body([1.0], []),
        body([1.0], ["x"]),
        body([1.0], [float("nan")]),
        body([1.0], [1e300]),
        {"data": [{"embedding": [1.0], "index": 0}, {"embedding": [1.0], "index": 0}]},
    ],
)
def test_an_answer_without_a_vector_for_each_text_is_malformed(wrong):
    with np.errstate(over="ignore"), pytest.raises(Malformed):
        read_embeddings(wrong, 2)
