"""Runs untrusted programs behind glass: a fork server per worker, a fresh process per evaluation, plain data in between.

A program is forked from a warm interpreter into a session of its own, with an empty scratch folder as its working folder,
a scrubbed environment, and limits. Whoever calls it (`program.SandboxedProgram`) measures CPU, memory and processes of its
whole tree from outside, ends the tree at a limit, and decodes its answers without trusting them (`wire`). Every
evaluation starts from the same state, and none of it is left afterwards.

=================  ==================================================================================================
outside            ``server`` starts and asks the fork server and ``confinement`` says what for, ``program`` and
                   ``channel`` call a program, ``hooks``, ``crossing`` and ``tensor_hook`` through shared memory,
                   ``execution``, ``process``, ``pipes`` and ``session`` run one, ``watch`` and ``tree`` measure it,
                   ``cgroup`` limits its memory, ``levels`` and ``probe`` say what this machine offers
both               ``wire`` is what crosses
at the border      ``visible`` says what can be read inside, ``landlock``, ``seccomp`` and ``bubblewrap`` say it to the kernel
inside             ``runner`` forks, ``confine`` gives up what is to be given up, ``serve`` loads the program and answers,
                   or becomes it, ``collect`` reads what a build has left
=================  ==================================================================================================

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

``strong``: on top of that, namespaces of its own (bubblewrap): of the machine's files only those that may be read exist;
of its processes only those of this worker's sandbox, and each program is in a process-id namespace that ends with it, so
that not one of its processes can stay; no network device, no other host name, no System V objects. Its scratch folder,
``/tmp`` and ``/dev/shm`` are a file system in memory, made for it, bounded by ``limits.scratch_mb``, gone after it. A
system-call filter (`seccomp`) refuses tracing, other processes' memory, keyrings, mounts, new namespaces, kernel modules,
BPF, performance counters, io_uring, setting clocks, every socket but unix ones, and memory that no process maps. It has no
capability; as root, each worker's programs are a user of their own, and the kernel limits that user's processes; an
ordinary user's are in a user namespace, where the limit binds as well. Where a control group can be made, the kernel
limits the memory of the whole tree. No level below is ever taken instead: what this machine lacks is named.

What they do not prevent
------------------------

At level ``process``: anything that the user who started the run may do. The program can read the evaluator, the archive
and other processes' environment in ``/proc``, write the user's files, use the network, and signal any process of the user.
Killing its fork server costs it its own evaluation only; killing a worker costs that evaluation a retry; killing the
process of the run ends the run. It is meant for programs that are buggy, not for ones that cheat.

At level ``landlock``:

* UDP and raw sockets, and unix sockets reached by path where file permissions allow it; TCP by ways that Landlock's rules do
  not name (multipath TCP, data sent with a connection's first packet, listening without binding).
* Priorities, processors and resource limits of other processes of the same user can be changed, those of the fork server
  as well, where they hold for the next program.
* Modes, owners, times and extended attributes of files that its user owns can be changed, wherever they are.
* System V objects, message queues and keys outlive it. As root it can read the kernel's log.
* Below Landlock version 4 TCP, below version 6 signals: then a program can end its fork server, its worker and the run.
* Names: the entries of folders that hold installed packages can be listed, and any path's existence, size and times can
  be asked for (``stat``). Contents cannot be read.
* ``/proc/cpuinfo`` and ``/proc/meminfo`` can be read, and the process can learn of others by pid (``kill`` with signal 0
  fails with another error for a pid that exists).
* System calls: there is no filter, so a bug of the kernel is within reach, and so are new user namespaces.

At both:

* As root, at level ``process``, what a program mounts in its scratch folder stays.
* As root the kernel applies no limit on processes; only the poll every 50 ms stops a fork bomb, after some hundred forks.
* A file has at most ``memory_mb``, but a program may write many: a disk can fill up until the evaluation ends. Memory that
  is in no process's mapping (files on a RAM disk, memory files) is not counted.

At all three:

* Without a control group: CPU of processes that live less than a poll and are reaped unseen (``SIGCHLD`` ignored) is
  missing from the count; the wall-clock limit still holds, and ``limits.max_processes = 1`` forbids them at level ``strong``.
* A bug of the kernel that can be reached with ordinary system calls, or of the processor. A virtual machine is the next step.
* Caches, memory bandwidth, locks on shared files and the clock are shared: a program can slow another one down, and two that
  run at the same time can signal to each other.
* Between two calls its threads go on; that costs CPU seconds of the evaluation, but no wall seconds.
* A program knows that it is in this sandbox, and what the machine's processor, libraries and packages are.
* Memory of the kernel for a program's pipes and sockets is bounded by their number only, unless there is a control group;
  without one, memory is measured every 50 ms, and a tree can be over its limit for so long, and longer if it makes
  measuring slow.
* How many processes the programs before it have made in this sandbox can be told from the numbers of new ones.
* An accelerator (``limits.gpus``) has a driver and memory of its own: its limits are the framework's, not the kernel's.
"""

from __future__ import annotations

from evolve.evaluators.sandbox.levels import LevelReport, available_levels, require_level, strongest_level
from evolve.evaluators.sandbox.probe import what_strong_lacks

__all__ = ["LevelReport", "available_levels", "require_level", "strongest_level", "what_strong_lacks"]
