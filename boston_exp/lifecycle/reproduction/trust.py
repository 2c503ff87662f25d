"""Whose code a record brings: it runs here only if it comes from here, or somebody has read it and says so."""

from __future__ import annotations

import sys

from boston_exp.config.invocation import again, for_services
from boston_exp.config.schema import Config, Data
from boston_exp.config.targets import faults as target_faults
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.lifecycle.reproduction.asked import Asked
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.storage.git import Git
from boston_exp.training.seal import SEAL, holds


def check(original: Original, asked: Asked, show: bool = True) -> None:
    """Raises InvalidConfig for a commit that is not here, for names of code that are not trusted here or are no part of
    an estimator, and for code that comes from elsewhere, which it prints before where it is to be shown."""
    git, commit = Git(asked.root), original.commit
    if not git.has(commit):
        says = f"{original.shown} is from commit {commit[:12]}, which is not in this repository."
        raise InvalidConfig(Fault(says, "git fetch --all --tags   (or get the repository that it was recorded in)"))
    faults = list(target_faults(_named(original, asked.config.trusted_packages)))
    if faults:
        told = f"   (what {original.run.run_id} has recorded is trusted as far as trusted_packages= says)"
        raise InvalidConfig(*(Fault(fault.says, fault.mend + told, fault.kind) for fault in faults))
    _check_kinds(original, asked)
    known = git.is_known(commit)
    if asked.config.trust or holds(original.run.tags.get(SEAL, ""), commit, original.patch):
        return
    if original.patch:
        if show:
            print(printable(original.patch), file=sys.stderr)
        says = f"{original.shown} is from uncommitted changes that were not recorded by you on this machine."
        raise InvalidConfig(Fault(says, again("trust=true") + "   (once you have read them: they would run here)"))
    if not known:
        says = f"{original.shown} is from commit {commit[:12]}, which no branch or tag here leads to."
        look = f"git log -p {commit[:12]}   (then, if that code may run here: {again('trust=true')})"
        raise InvalidConfig(Fault(says, look))


def _named(original: Original, trusted: list[str]) -> Config:
    """The names of code in a recorded configuration, for today's checks."""
    node = original.config
    loader = (node.get("data") or {}).get("loader")
    preprocess = node.get("preprocess") or {}
    return Config(node["model"], Data(loader=loader), preprocess, trusted_packages=trusted)


def _check_kinds(original: Original, asked: Asked) -> None:
    """By today's check, and here: the version that trains may have had a weaker one, or none."""
    from hydra.errors import HydraException

    from boston_exp.experiment.targets import checked

    whitelist = [f"{package}.*" for package in asked.config.trusted_packages]
    for name in ("model", "preprocess"):
        try:
            checked(original.config.get(name), whitelist)
        except (HydraException, ImportError, TypeError, ValueError) as error:
            cause = str(error.__cause__ or error).partition("\n")[0].rstrip(".")
            says = f"{name} of {original.shown} is not trained, as it cannot be seen to be an estimator here: {cause}."
            raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists other runs)")) from error


def printable(patch: bytes) -> str:
    """A patch as a terminal may show it: nothing in it hides what it says."""
    text = patch.decode("utf-8", "replace")
    return "".join(each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text)
