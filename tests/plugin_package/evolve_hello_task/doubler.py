"""An arm that doubles the program's one literal."""

import re

from evolve.mutation import MutationFailed
from evolve.program import Reply


class Doubler:
    """Doubles the number that `where` returns."""

    name = "hello_doubler"

    async def generate(self, request, rng):
        return Reply(text="2.0")

    def apply(self, reply, parent):
        path, text = next(iter(parent.files.items()))
        found = re.search(r"return (\S+)", text)
        if found is None:
            raise MutationFailed("there is no return statement")
        return {path: text.replace(found[0], f"return {float(found[1]) * float(reply.text)!r}")}
