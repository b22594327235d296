"""Trains small mixture-of-experts language models under a balancing method, and measures both; needs torch (extra ``moe``)."""
