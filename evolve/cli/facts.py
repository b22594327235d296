"""The lines of `evolve show`: what is to be said of a run, and when there is something to say."""

from __future__ import annotations

from typing import Any

from evolve.cli.output import held_out_text, number, spread_text

#: Machines that `show` names; a cluster may have a thousand.
_HOSTS_SHOWN = 20


def host_rows(hosts: list[dict[str, Any]]) -> list[list[str]]:  # Any: JSON values
    """Says where a cluster evaluated, and at which level there; no row for a run that evaluated where it ran."""
    rows = [["", f"{host['evaluated']} on {host['host']} at {host['isolation']}"] for host in hosts[:_HOSTS_SHOWN]]
    if len(hosts) > _HOSTS_SHOWN:
        rows.append(["", f"and {len(hosts) - _HOSTS_SHOWN} more machines"])
    if rows:
        rows[0][0] = "evaluated"
    return rows


def best_text(best: dict[str, Any]) -> str:  # Any: JSON values
    """Names a run's best program and what it scored."""
    spread = spread_text(best["interval"], best["objective"])
    return f"{number(best['objective'])}{spread}  (program {best['program']}, step {best['step']})"


#: Starting programs that `show` names; rescoring a run has thousands.
STARTS_SHOWN = 10


def start_rows(shown: dict[str, Any]) -> list[list[str]]:  # Any: JSON values
    """Says what a run started from; no row for one that started from its task's initial program alone."""
    found = shown["starts"]
    if [start["origin"] for start in found] in ([], ["initial"]):
        return []
    scored = sum(start["objective"] is not None for start in found)
    rows = [["starts", f"{len(found)}, {scored} of them scored"]]
    for start in found[:STARTS_SHOWN]:
        result = number(start["objective"]) if start["objective"] is not None else (start["outcome"] or "not scored yet")
        place = "" if start["program"] is None else f"  (program {start['program']}, step {start['step']})"
        rows.append(["", f"{start['origin']}  {result}{place}"])
    return rows if len(found) <= STARTS_SHOWN else [*rows, ["", f"and {len(found) - STARTS_SHOWN} more"]]


def embedding_rows(embedded: dict[str, Any]) -> list[list[str]]:  # Any: JSON values
    """Says what a model of embeddings took of that; no row for a run that asked none and missed none."""
    if not embedded["calls"] and not embedded["failed"]:
        return []
    text = f"{embedded['usd']:.4f} usd of that, {embedded['calls']} calls"
    failed = f"; {embedded['failed']} programs were not embedded, and compared by identity alone" if embedded["failed"] else ""
    return [["embeddings", text + failed]]


def judge_rows(judge: dict[str, Any]) -> list[list[str]]:  # Any: JSON values
    """Says what a judge of borderline children took of that, and what it found; no row for a run in which it was asked nothing."""
    judged = judge["same"] + judge["different"]
    if not judged and not judge["unknown"]:
        return []
    text = f"{judge['usd']:.4f} usd of that, {judge['calls']} calls; {judged} borderline children judged, {judge['same']} copies"
    return [["judge", text + (f"; {judge['unknown']} were not judged, and passed" if judge["unknown"] else "")]]


def spent_text(shown: dict[str, Any], budget_usd: object) -> str:  # Any: JSON values
    """Says what a run cost, against the budget that it began with."""
    of = f" of {budget_usd:g}" if isinstance(budget_usd, int | float) else ""
    return f"{shown['usd']:.4f}{of} usd, {shown['calls']} replies, {shown['tokens']} tokens"


def held_out_rows(shown: dict[str, Any]) -> list[list[str]]:  # Any: JSON values
    """Says what a finished run's results scored on held-out data; no row for a run without."""
    found = {place: shown[place]["holdout"] for place in ("initial", "best") if shown[place] and shown[place]["holdout"]}
    return [["held out", ", ".join(f"{place} {held_out_text(held)}" for place, held in found.items())]] if found else []
