"""The room of expert placement: where the experts of a mixture model lie on GPUs, and what that costs."""
