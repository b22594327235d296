"""Evaluations on a Ray cluster.

Who does what, from the controller outwards:

===============  ====================================================================================================
controller       ``executor`` is what the loop asks: it repeats what infrastructure has lost and never what a program
                 has done; ``attempts`` keeps the books; ``link`` holds the driver process; ``address`` and ``needs`` read what
                 users and tasks say
driver process   ``driver`` connects with the cluster; ``dispatcher`` runs attempts as Ray tasks and tells what becomes
                 of them; ``relay`` carries them through Ray's client server
a node           ``seat`` evaluates in a Ray worker process, with the executor that evaluates locally
all of them      ``orders`` is what travels; ``parcel`` ships a task by the hash of its content; ``installation`` proves
                 that the same code evaluates everywhere
===============  ====================================================================================================

Ray schedules, by each task's resources; it repeats nothing. Ray is imported in the driver process and on nodes only.
"""

from __future__ import annotations

from evolve.executors.cluster.address import Address, parse
from evolve.executors.cluster.executor import ClusterConfig, RayExecutor

__all__ = ["Address", "ClusterConfig", "RayExecutor", "parse"]
