"""Checks everything a run would touch and says how to mend it: `python -m boston_exp.doctor [overrides]`."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config import checks
from boston_exp.config.commands import Doctor
from boston_exp.config.parsing import parse
from boston_exp.diagnosis import examination, pending
from boston_exp.diagnosis.finding import Patient
from boston_exp.errors import InvalidConfig
from boston_exp.sweep.cluster.whereabouts import clusters
from boston_exp.tracking import destination as destinations


@command.task("doctor")
def doctor(cfg: DictConfig) -> None:
    """Hydra's task: compose, look, fix where asked, tell; exits 1 if something is wrong."""
    typed = command.typed()
    config = parse(cfg, typed, Doctor)
    faults = list(checks.out_of_range("", config))
    if faults:
        raise InvalidConfig(*faults)
    patient = Patient(config, typed, destinations.resolve(config, typed))
    pending.check_forgotten(patient)
    checks_of_all = (*examination.CHECKS, clusters)
    findings = examination.examine(patient, checks_of_all)
    if config.fix and any(finding.fix for finding in findings):
        examination.fix(findings)
        findings = examination.examine(patient, checks_of_all)
    examination.show(findings, config.format)
    sys.exit(int(any(finding.state == "wrong" for finding in findings)))


def main() -> None:
    """The command."""
    command.main("doctor", doctor)


if __name__ == "__main__":
    main()
