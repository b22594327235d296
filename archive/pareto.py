"""Arithmetic of Pareto fronts; in every row larger is better, and ``-inf`` stands for a value that is missing."""

from __future__ import annotations

import numpy as np


def covered(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Tells which rows are at most as good as one row everywhere.

    Args:
        rows: ``(n, k)``.
        row: ``(k,)``.

    Returns:
        ``(n,)`` booleans; true for the rows that ``row`` dominates, and for equal ones.
    """
    return np.asarray(np.all(rows <= row, axis=1))


def covering(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Tells which rows are at least as good as one row everywhere: ``(n,)`` booleans."""
    return np.asarray(np.all(rows >= row, axis=1))


def crowding_distances(rows: np.ndarray) -> np.ndarray:
    """Measures how lonely each point of a front is: the sides of the box that its neighbours span.

    Source: NSGA-II, Deb, Pratap, Agarwal & Meyarivan 2002, section III-B. A missing value counts as the smallest there is.

    Args:
        rows: ``(n, k)`` with n >= 1.

    Returns:
        ``(n,)`` distances, infinite for a point that is the first or the last on some axis on which points differ.
    """
    n = len(rows)
    finite = np.where(np.isneginf(rows), np.inf, rows).min(axis=0)
    values = np.where(np.isneginf(rows), np.where(np.isinf(finite), 0.0, finite), rows)
    # Scaled before they are subtracted: the difference of two huge numbers is none.
    values = values / np.maximum(np.abs(values).max(axis=0), 1e-300)
    order = np.argsort(values, axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, axis=0)
    span = ranked[-1] - ranked[0]
    gaps = np.full(rows.shape, np.inf)
    gaps[1:-1] = (ranked[2:] - ranked[:-2]) / np.where(span > 0, span, 1.0)
    # Where all are equal, nobody is at an end.
    gaps[:, span == 0] = 0.0
    distances = np.empty((n, rows.shape[1]))
    np.put_along_axis(distances, order, gaps, axis=0)
    total: np.ndarray = distances.sum(axis=1)
    return total


def wins(rows: np.ndarray) -> np.ndarray:
    """Counts the axes on which each row is the best or one of the best: ``(n,)``; where all are missing, nobody wins."""
    best = rows.max(axis=0)
    count: np.ndarray = ((rows == best) & ~np.isneginf(best)).sum(axis=1)
    return count
