"""What stands in the way of any promotion here: names, git, files."""

from __future__ import annotations

import os
from collections.abc import Iterator

from boston_exp.config.invocation import again
from boston_exp.errors import Fault
from boston_exp.lifecycle.promotion import names, tags
from boston_exp.lifecycle.promotion.journal import DVC_YAML
from boston_exp.lifecycle.promotion.plan import Asked
from boston_exp.storage import dvc_remote
from boston_exp.storage.git import Git
from boston_exp.storage.promotion_files import MODELS


def faults(asked: Asked) -> Iterator[Fault]:
    """What stands in the way, whatever the run: names, git, files."""
    config, root = asked.config, asked.root
    wrong = list(names.faults(asked.name, config.alias))
    yield from wrong
    if wrong or asked.dvc == "none":
        return
    if not (root / ".dvc").is_dir():
        yield Fault(f"{root} is not under DVC.", f"dvc init   (or, in the registry alone: {again('dvc=none')})")
        return
    git = Git(root)
    if config.git == "commit":
        yield from git.faults()
        tag = tags.of_version(git, asked.name, "v1.0.0") if git.head else ""
        if tag and not git.answer("check-ref-format", "--normalize", f"refs/tags/{tag}"):
            says = f"The project's folder in the repository, {git.prefix}, cannot be part of a tag ({tag})."
            yield Fault(says, again("git=stage") + "   (without tags; or rename the folder)")
    elif config.git == "stage" and not git.head:
        yield Fault(f"{root} has no git repository with a commit.", again("git=none"))
    folder = root / MODELS
    if not os.access(next(each for each in (folder, *folder.parents) if each.exists()), os.W_OK):
        yield Fault(f"{folder} cannot be written to.", f"chmod u+w {folder}")
    pointer = MODELS / f"{asked.name}.dvc"
    if config.git != "none":
        changed = git.changed([DVC_YAML, str(pointer)])
        if changed:
            says = f"{' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} changes that are not committed."
            yield Fault(says, f"git commit {' '.join(changed)}   (or git stash)")
    place = root / MODELS / asked.name
    unknown = dvc_remote.unknown_files(place) if place.exists() else []
    if unknown:
        says = f"{MODELS / asked.name} has files that DVC does not have: {', '.join(unknown[:5])}."
        yield Fault(says, f"dvc add {MODELS / asked.name}   (or move them away)")
