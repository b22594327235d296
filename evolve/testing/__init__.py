"""Contract suites that plug-in authors inherit, and that the built-ins pass.

`executor`, `mutator`, `bandit` and `population` each hold a class of pytest tests; subclass it in a test file, supply what its
docstring asks for, and pytest runs the protocol's whole specification against your part::

    from evolve.testing.mutator import MutatorContract


    class TestMine(MutatorContract):
        def make(self):
            return MyMutator()

`task` does the same for a task: it holds a task's folder against `evolve task check`. `hostile` is a package of programs that
attack, and a suite that tries them on a task at every sandbox level. Needs pytest, which `evolve` itself
does not.
"""
