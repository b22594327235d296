"""Contract suites that plug-in authors inherit, and that the built-ins pass.

`executor`, `mutator`, `bandit`, `population` and `model` each hold a class of pytest tests; subclass it in a test file, supply
what its docstring asks for, and pytest runs the protocol's whole specification against your part::

    from evolve.testing.mutator import MutatorContract


    class TestMine(MutatorContract):
        def make(self):
            return MyMutator()

`model_server` is a server of language models that says what a test tells it to: real HTTP on loopback, three wire formats, every
fault. `task` does the same as the suites for a task: it holds a task's folder against `evolve task check`. `hostile` is a package
of programs that attack, and a suite that tries them on a task at every sandbox level. Needs pytest (`model_server` does not),
which `evolve` itself does not.
"""
