"""All checks at once: look, fix what can be fixed, show what was found."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from boston_exp import process
from boston_exp.diagnosis import installation, leftovers, locks, pending, services, stores
from boston_exp.diagnosis.finding import Finding, Patient, wrong
from boston_exp.errors import ExpectedFailure
from boston_exp.redaction import redact
from boston_exp.reporting.tables import print_rows

Check = Callable[[Patient], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    installation.python,
    installation.libraries,
    installation.git,
    installation.data_file,
    installation.disk,
    installation.container,
    stores.store,
    pending.pending,
    stores.studies,
    locks.locks,
    leftovers.leftovers,
    services.server,
    services.buckets,
    services.dvc_remote,
    services.free_ports,
)
DEADLINE = 9.0  # seconds for all of them: a check that hangs is a finding
SIGNS = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "wrong": "[red]wrong[/red]"}


def examine(patient: Patient, checks: tuple[Check, ...] = CHECKS, deadline: float = DEADLINE) -> list[Finding]:
    """Run the checks in parallel; one that has not ended after `deadline` seconds is a finding of its own."""
    found: dict[Check, list[Finding]] = {}

    def look(check: Check) -> None:
        findings: list[Finding] = []
        try:
            findings += check(patient)
        except Exception as error:  # a check that fails is no reason to lose the others
            said = redact(f"{type(error).__name__}: {error}").partition("\n")[0]
            findings.append(wrong(_name(check), f"could not be looked at: {said}", "see above"))
        found[check] = findings

    threads = [threading.Thread(target=look, args=(check,), name="check", daemon=True) for check in checks]
    until = time.monotonic() + deadline
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        process.abandon_threads()
    silent = [
        wrong(_name(check), f"no answer within {deadline:.0f} s", "see above") for check in checks if check not in found
    ]
    return [finding for check in checks for finding in found.get(check, [])] + silent


def fix(findings: list[Finding]) -> None:
    """Mend what has a fix, and say on stderr what was done."""
    for finding in findings:
        if finding.fix:
            try:
                said = finding.fix()
                print(redact(f"fixed: {finding.what}" + (f": {said}" if said else "")), file=sys.stderr)
            except ExpectedFailure as failure:
                for fault in failure.faults:
                    print(redact(f"not fixed: {finding.what}: {fault.says}\n  next: {fault.mend}"), file=sys.stderr)
            except Exception as error:  # printed here; the next examination finds it again
                told = redact(str(error)).partition("\n")[0]
                print(f"not fixed: {finding.what}: {told}", file=sys.stderr)


def show(findings: list[Finding], form: str) -> None:
    """Print the findings to stdout: table, json, csv or markdown."""
    clean = [replace(each, says=redact(each.says), mend=redact(each.mend), fix=None) for each in findings]
    rows = [{"what": each.what, "state": each.state, "says": each.says, "mend": each.mend} for each in clean]

    def table() -> Table:
        drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for heading in ("what", "state", "finding, and how to mend it"):
            drawn.add_column(heading, overflow="fold", no_wrap=heading != "finding, and how to mend it")
        for each in clean:
            mend = f"\n[bold]→ {escape(each.mend)}[/bold]" if each.mend else ""
            cells = (Text.from_markup(SIGNS[each.state]), Text.from_markup(escape(each.says) + mend))
            drawn.add_row(each.what, *cells)
        return drawn

    print_rows(rows, form, lambda: [table()], "findings", {"ok": all(each.state != "wrong" for each in clean)})


def _name(check: Check) -> str:
    return str(getattr(check, "__name__", check)).replace("_", " ")
