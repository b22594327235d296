"""The MoE lab: trains small mixture-of-experts language models, and measures how a program balances their experts."""
