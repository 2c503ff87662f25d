"""Checks everything a run would touch and says how to mend it: `python -m boston_exp.doctor [overrides]`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boston_exp import checks, completion, settings
from boston_exp import config as configuration
from boston_exp.diagnosis import installation, services, stores
from boston_exp.diagnosis.finding import Finding, Patient, wrong
from boston_exp.errors import ExpectedFailure, InvalidConfig, plainly, tell, terminable, without_secrets
from boston_exp.tracking import destination as destinations

if TYPE_CHECKING:
    from boston_exp.config import Doctor
    from boston_exp.settings import Typed

Check = Callable[[Patient], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    installation.python,
    installation.libraries,
    installation.git,
    installation.data_file,
    installation.disk,
    installation.container,
    stores.store,
    stores.studies,
    services.server,
    services.buckets,
    services.dvc_remote,
    services.free_ports,
)
LOOK = "look"
PATIENCE = 9.0  # seconds for all of them: whatever hangs is said to hang
SIGNS = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "wrong": "[red]wrong[/red]"}


@hydra.main(config_path=str(configuration.CONF), config_name="doctor", execution_whitelist=[])
def doctor(cfg: DictConfig) -> None:
    """Hydra's task: compose, look, fix where asked, tell; exits 1 if something is wrong."""
    hydra_config = HydraConfig.get()
    overrides = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
    typed = settings.Typed(tuple(map(str, overrides)), Path(hydra_config.runtime.cwd))  # type: ignore[arg-type]
    try:
        config = _checked(cfg, typed)
    except ExpectedFailure as failure:
        tell(failure)
        sys.exit(2)
    patient = Patient(config, typed, destinations.resolve(config, typed))
    findings = examine(patient)
    if config.fix and any(finding.fix for finding in findings):
        _fix(findings)
        findings = examine(patient)
    _show(findings, config)
    code = int(any(finding.state == "wrong" for finding in findings))
    if any(thread.name.startswith(LOOK) for thread in threading.enumerate()):  # one hangs: nobody waits for it
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _checked(cfg: DictConfig, typed: Typed) -> Doctor:
    config = configuration.parse(cfg, typed, configuration.Doctor)
    faults = [
        replace(fault, mend=fault.mend.replace("boston_exp.run", "boston_exp.doctor"))
        for fault in checks.out_of_range("", config)
    ]
    if faults:
        raise InvalidConfig(*faults)
    return config


def examine(patient: Patient, look_at: tuple[Check, ...] = CHECKS, patience: float = PATIENCE) -> list[Finding]:
    """All checks at once, each in a thread; one that has not ended after `patience` seconds is a finding of its own."""
    found: dict[Check, list[Finding]] = {}

    def look(check: Check) -> None:
        findings: list[Finding] = []
        try:
            findings += check(patient)
        except Exception as error:  # a check that fails is no reason to lose the others
            said = without_secrets(f"{type(error).__name__}: {error}").partition("\n")[0]
            findings.append(wrong(_name(check), f"could not be looked at: {said}", "see above"))
        found[check] = findings

    threads = [threading.Thread(target=look, args=(check,), name=LOOK, daemon=True) for check in look_at]
    until = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    silent = [
        wrong(_name(check), f"no answer within {patience:.0f} s", "see above")
        for check in look_at
        if check not in found
    ]
    return [finding for check in look_at for finding in found.get(check, [])] + silent


def _name(check: Check) -> str:
    return str(getattr(check, "__name__", check)).replace("_", " ")


def _fix(findings: list[Finding]) -> None:
    for finding in findings:
        if finding.fix:
            try:
                finding.fix()
                print(f"fixed: {finding.what}", file=sys.stderr)
            except Exception as error:  # told, and then seen again by the second look
                said = without_secrets(str(error)).partition("\n")[0]
                print(f"not fixed: {finding.what}: {said}", file=sys.stderr)


def _show(findings: list[Finding], config: Doctor) -> None:
    clean = [
        replace(each, says=without_secrets(each.says), mend=without_secrets(each.mend), fix=None) for each in findings
    ]
    if config.format == "json":
        rows = [{"what": each.what, "state": each.state, "says": each.says, "mend": each.mend} for each in clean]
        print(json.dumps({"ok": all(each.state != "wrong" for each in clean), "findings": rows}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for heading in ("what", "state", "finding, and how to mend it"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "finding, and how to mend it")
    for each in clean:
        mend = f"\n[bold]→ {escape(each.mend)}[/bold]" if each.mend else ""
        table.add_row(each.what, SIGNS[each.state], escape(each.says) + mend)
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def main() -> None:
    """The command."""
    with terminable(), plainly():
        settings.refuse_secrets(sys.argv[1:])
        doctor()
    completion.extend(sys.argv)


if __name__ == "__main__":
    main()
