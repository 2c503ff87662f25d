"""What would be removed, or was, on the screen and for machines."""

from __future__ import annotations

from typing import Any

from boston_exp.config.invocation import again
from boston_exp.lifecycle.cleaning.choice import Chosen
from boston_exp.lifecycle.cleaning.items import Item
from boston_exp.reporting import numbers
from boston_exp.reporting.tables import plain_table, print_rows

PLURALS = {"study": "studies", "artifacts": "artifacts"}
SHOWN = 30  # items on the screen; csv and json have all


def show(found: list[Item], chosen: Chosen, form: str, removed: bool, on_server: bool) -> None:
    """Print items, totals, what stays and why, and the command that does it."""
    rows = [
        {"kind": each.kind, "name": each.name, "says": each.says, "models": each.models, "bytes": each.size}
        for each in found
    ]
    kept = [{"run_id": run.run_id, "name": run.name, "reason": reason} for run, reason in chosen.kept]
    about = {"removed": removed, "bytes": sum(each.size or 0 for each in found), "kept": kept}
    print_rows(rows, form, lambda: _drawn(found, kept, removed, on_server), name="items", about=about)


def _drawn(found: list[Item], kept: list[dict[str, Any]], removed: bool, on_server: bool) -> list[Any]:
    parts: list[Any] = []
    if found:
        table = plain_table()
        for heading in ("", "name", "", "size"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
        for each in found[:SHOWN]:
            table.add_row(each.kind, each.name, each.says, numbers.file_size(each.size))
        if len(found) > SHOWN:
            table.add_row("…", f"{len(found) - SHOWN} more", "", "")
        parts.append(table)
    parts += [f"stays: {each['run_id']} ({each['name']}): {each['reason']}" for each in kept]
    counts: dict[str, int] = {}
    for each in found:
        counts[each.kind] = counts.get(each.kind, 0) + 1
    models = sum(each.models for each in found)
    if models:
        counts["model"] = models
    told = [f"{number} {kind if number == 1 else PLURALS.get(kind, f'{kind}s')}" for kind, number in counts.items()]
    sizes = [each.size for each in found if each.kind != "study"]
    total = numbers.file_size(None if None in sizes else sum(each or 0 for each in sizes))
    if not found:
        parts.append("There is nothing to remove.")
    elif removed:
        parts.append(f"removed: {', '.join(told)}, {total}")
    else:
        parts.append(f"would remove: {', '.join(told)}, {total}. Nothing was removed yet:")
        parts.append(f"next        {again('confirm=true')}")
    if found and on_server:
        parts.append("A server keeps deleted runs and their files until it is told otherwise, where it runs: mlflow gc")
    return parts
