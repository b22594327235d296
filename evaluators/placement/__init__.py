"""Expert placement: where the replicas of a mixture's experts lie on a cluster, and what a step costs there."""
