"""Writes evolve/llm/prices.toml anew from the price table of litellm (facts only).

Usage: python docs/make_prices.py [SITE_PACKAGES]

SITE_PACKAGES is a folder that litellm is installed in, for an environment without it. A model that litellm no longer lists is
named on standard error and left out.
"""

from __future__ import annotations

import datetime
import sys

from evolve.llm.litellm_table import FILE, LitellmTable, Row, installed
from evolve.llm.prices import SHIPPED

#: Sections of the table, and what litellm puts before the names of their models.
SECTIONS = {
    "openai": "",
    "anthropic": "",
    "gemini": "gemini/",
    "deepseek": "deepseek/",
    "mistral": "mistral/",
    "xai": "xai/",
    "dashscope": "dashscope/",
    "moonshot": "moonshot/",
    "zai": "zai/",
    "minimax": "minimax/",
    "groq": "groq/",
    "cerebras": "cerebras/",
    "voyage": "voyage/",
}
MODELS = {
    "openai": """gpt-6-astra gpt-6.1-sol gpt-6-sol gpt-6.1-terra gpt-6-luna gpt-5.6 gpt-5.6-sol gpt-5.6-terra gpt-5.6-luna
        gpt-5.5 gpt-5.5-pro gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.3-codex gpt-5.2 gpt-5.1 gpt-5.1-codex-mini
        gpt-5 gpt-5-mini gpt-5-nano gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-mini o3 o4-mini""",
    "anthropic": """claude-opus-5-5 claude-opus-5 claude-opus-4-8 claude-opus-4-7 claude-opus-4-6 claude-opus-4-5 claude-fable-5-1
        claude-fable-5 claude-sonnet-5-5 claude-sonnet-5 claude-sonnet-4-6 claude-sonnet-4-5 claude-haiku-5-5 claude-haiku-4-5""",
    "gemini": """gemini-4-argon gemini-4-hydrogen gemini-3.8-flash gemini-3.7-flash gemini-3.6-flash gemini-3.5-flash
        gemini-3.5-flash-lite gemini-3.1-pro-preview gemini-3-flash-preview gemini-3.1-flash-lite gemini-2.5-pro
        gemini-2.5-flash gemini-2.5-flash-lite""",
    "deepseek": "deepseek-v4-pro deepseek-v4-flash deepseek-chat deepseek-reasoner",
    "mistral": "mistral-large-4 mistral-large-latest mistral-medium-latest mistral-small-latest codestral-latest devstral-latest",
    "xai": "grok-4.7 grok-4.6 grok-4.5 grok-4.3 grok-code-fast-1",
    "dashscope": "qwen3.8-max qwen3.8-flash qwen3.7-max qwen3.7-plus qwen3-max qwen3-coder-plus qwen3-coder-flash",
    "moonshot": "kimi-k3.1-pro kimi-k3 kimi-k2.7-code kimi-k2.6",
    "zai": "glm-5.3 glm-5.3-flash glm-5.2 glm-4.7",
    "minimax": "MiniMax-M3 MiniMax-M2.5",
    "groq": "openai/gpt-oss-120b openai/gpt-oss-20b qwen/qwen3.8-27b",
    "cerebras": "gpt-oss-120b qwen-3.8-27b",
    "voyage": "",
}
#: Models of embeddings, after the others of their sections.
EMBEDDERS = {
    "openai": "text-embedding-3-small text-embedding-3-large text-embedding-ada-002",
    "gemini": "gemini-embedding-001 gemini-embedding-2",
    "mistral": "mistral-embed codestral-embed",
    "voyage": "voyage-4-lite voyage-4 voyage-4-large voyage-code-4 voyage-code-3",
}


def line(model: str, row: Row) -> str:
    """Writes the line of one model."""
    between = [row.input if row.cached is None else row.cached, row.written] if row.written is not None else [row.cached]
    prices = [row.input, *(price for price in between if price is not None), row.output]
    parts = [f'price = "{"/".join(plain(price) for price in prices)}"']
    parts += [f"context = {row.context}"] if row.context else []
    parts += [f"max_output = {row.max_output}"] if row.max_output else []
    parts += [f'source = "{row.source}"'] if row.source else []
    parts += ["embeds = true"] if row.embeds else []
    return f'"{model}" = {{ {", ".join(parts)} }}\n'


def plain(price: float | None) -> str:
    """Writes a number without an exponent."""
    return f"{price or 0.0:.6f}".rstrip("0").rstrip(".")


def page(table: LitellmTable) -> str:
    """Writes the whole table."""
    parts = [
        "# Written by docs/make_prices.py. Dollars per million tokens: input/output, input/read from a cache/output, or\n"
        "# input/read from a cache/written to a cache/output. A price is that of prompts of up to `context` tokens: several\n"
        "# models take longer ones at a higher price. Models of embeddings are paid for what they are asked alone.\n\n"
        f'source = "litellm {table.version}, {FILE}"\ndate = {datetime.date.today()}\n'
    ]
    for section, prefix in SECTIONS.items():
        parts.append(f"\n[{section}]\n")
        for model in f"{MODELS[section]} {EMBEDDERS.get(section, '')}".split():
            row = table.row(prefix + model)
            if row is None or row.input is None or row.output is None:
                sys.stderr.write(f"{section}: {model} is not listed, or without a price\n")
            else:
                parts.append(line(model, row))
    return "".join(parts)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    found = installed()
    if found is None:
        sys.exit("litellm is not installed here; name the site-packages folder of an environment that has it")
    SHIPPED.write_text(page(found), encoding="utf-8")
