"""Programs that attack: one for everything that a sandbox level says it prevents, and then some.

Each is put in front of a task's own initial program and scored like any other. What it did is judged from outside: by files,
sockets, a variable and a process of ours that hold secrets or note visitors, by what is left of it, by its score beside the
honest one, and by the score of an honest program after it. A level that is said to stop a program and does not is a failure;
what happens at a level of which nobody says so is reported::

    python -m evolve.testing.hostile circle_packing --isolation strong

``suite`` holds a class of pytest tests for authors of tasks and of sandboxes::

    import pytest

    import evolve
    from evolve.testing.hostile.suite import HostileSuite


    class TestMine(HostileSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def task(cls):
            return evolve.find_task("my_task")

===============  ====================================================================================================
``record``       what a hostile program is, and by which signs its success is noticed
``programs``     all of them; by theme in ``resources``, ``answers``, ``interpreter``, ``files``, ``processes``,
                 ``network``, ``kernel``
``wrapping``     puts one in front of an honest program
``canaries``     what it could reach outside
``runner``       tries one and observes
===============  ====================================================================================================

Which level stops which program is in ``docs/hostile-suite.md``.
"""
