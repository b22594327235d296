"""Writes replies for the tests."""

from __future__ import annotations


def block(search: str, replace: str) -> str:
    """A search/replace block; each half one line or more."""
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"
