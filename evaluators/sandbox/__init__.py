"""Runs untrusted programs behind glass: a fork server per worker, a fresh process per evaluation, plain data in between.

A program is forked from a warm interpreter into a session of its own, with an empty scratch folder as its working folder,
a scrubbed environment, and limits. Whoever calls it (`program.SandboxedProgram`) measures CPU, memory and processes of its
whole tree from outside, ends the tree at a limit, and decodes its answers without trusting them (`wire`). Every
evaluation starts from the same state, and none of it is left afterwards.

What each level prevents
------------------------

``process``: one evaluation changing the next through memory, environment, scratch folder or leftover processes; using
more than its CPU seconds, wall seconds, memory (within a poll of 50 ms), processes, output or answer size; answering with
anything but plain data; surviving its deadline or the end of the run, however it daemonises. No API key or other
environment variable is handed to it.

``landlock``: on top of that, kernel-enforced: reading or listing anything but the interpreter, system libraries, installed
packages other than this one, and its scratch folder; writing outside the scratch folder; gaining privileges. From Landlock
version 4 on binding and connecting TCP sockets, from version 6 on signalling other processes and connecting to abstract
unix sockets.

What they do not prevent
------------------------

At level ``process``: anything that the user who started the run may do. The program can read the evaluator, the archive
and other processes' environment in ``/proc``, write the user's files, use the network, and signal any process of the user.
Killing its fork server costs it its own evaluation only; killing a worker costs that evaluation a retry; killing the
process of the run ends the run. It is meant for programs that are buggy, not for ones that cheat.

At level ``landlock``:

* UDP and raw sockets, and unix sockets reached by path where file permissions allow it.
* Below Landlock version 4 TCP, below version 6 signals: then a program can end its fork server, its worker and the run.
* Names: the entries of folders that hold installed packages can be listed, and any path's existence, size and times can
  be asked for (``stat``). Contents cannot be read.
* ``/proc/cpuinfo`` and ``/proc/meminfo`` can be read, and the process can learn of others by pid (``kill`` with signal 0
  fails with another error for a pid that exists).
* System calls: there is no filter, so a bug of the kernel is within reach, and so are new user namespaces.

At both:

* As root the kernel applies no limit on processes; only the poll every 50 ms stops a fork bomb, after some hundred forks.
* A file has at most ``memory_mb``, but a program may write many: a disk can fill up until the evaluation ends. Memory that
  is in no process's mapping (files on a RAM disk, memory files) is not counted.
* CPU of processes that live less than a poll and are reaped unseen (``SIGCHLD`` ignored) is missing from the count; the
  wall-clock limit still holds.
* Caches, memory bandwidth and the clock are shared: a program can slow another one down, and measure.
* Between two calls its threads go on; that costs CPU seconds of the evaluation, but no wall seconds.
"""

from __future__ import annotations

from evolve.evaluators.sandbox.levels import LevelReport, available_levels, require_level, strongest_level

__all__ = ["LevelReport", "available_levels", "require_level", "strongest_level"]
