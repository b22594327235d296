"""Language models behind one protocol: who is asked, at what price, how often, and what came back.

``base`` is the protocol and the records that cross it; ``specs`` reads what users write (``openai/gpt-5-mini[effort=high]``).
``openai``, ``anthropic``, ``litellm`` and ``agent`` are the clients: thin, each over its provider's own SDK or command line,
with the SDK's retries off. ``prices`` knows what a token costs. ``calling`` is what stands between a mutator and a client:
rate limits, retries, the circuit breaker, dollars reserved before a call and settled after it, and the record of every call.

Vendor SDKs are imported when their client is made, never before. Keys come from the environment. A provider's own key goes to
its own host only; one that ``key_env`` names goes to the URL of the SPEC that names it.
"""
