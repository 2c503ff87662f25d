"""GTO's names in git: `boston-housing@v3.0.0` registers a version, `boston-housing#champion#7` gives it a stage.

`dvc artifacts get` and `gto show` read them. docs: https://dvc.org/doc/gto
"""

from __future__ import annotations

import re
from pathlib import Path

from boston_exp.storage.git import Git

UNKNOWN = "<version>"  # in a message that is written before the version has a number


def artifact(git: Git, name: str) -> str:
    """As GTO calls it: with its folder where the project is one of many in a repository."""
    return f"{git.prefix}:{name}" if git.prefix else name


def version(git: Git, name: str, number: str) -> str:
    """The tag of a new version: the registry's number is its major one, or the next that no tag has.

    Registries on two machines count for themselves, the repository is shared.
    """
    known = _majors(git, name)
    major = int(number) if int(number) not in known else max(known) + 1
    return of_version(git, name, f"v{major}.0.0")


def of_version(git: Git, name: str, semver: str) -> str:
    """The tag of a version that has one."""
    from gto.constants import Action
    from gto.tag import name_tag

    return str(name_tag(Action.REGISTER, artifact(git, name), version=semver, simple=True))


def stage(git: Git, name: str, alias: str) -> str:
    """The next tag that gives the stage."""
    from gto.constants import Action
    from gto.tag import name_tag
    from scmrepo.git import Git as Repository

    scm = Repository(str(git.folder), search_parent_directories=True)
    try:
        return str(name_tag(Action.ASSIGN, artifact(git, name), stage=alias, scm=scm))
    finally:
        scm.close()


def add_artifact(source: Path, target: Path, name: str, path: str) -> None:
    """Write dvc.yaml with an entry for the model; nothing where it has it already. DVC writes it in its own style."""
    import yaml
    from dvc.utils.serialize import modify_yaml

    text = source.read_text(encoding="utf-8") if source.exists() else ""
    entry = {"path": path, "type": "model"}
    found = yaml.safe_load(text) or {}
    if (found.get("artifacts") or {}).get(name) == entry:
        return
    target.write_text(text, encoding="utf-8")
    with modify_yaml(target) as content:
        if not content.get("artifacts"):
            content["artifacts"] = {}
        content["artifacts"][name] = entry


def _majors(git: Git, name: str) -> set[int]:
    from gto.tag import parse_name

    own = artifact(git, name)
    found = (parse_name(tag, raise_on_fail=False) for tag in git.tags())
    versions = (str(each.get("version")) for each in found if each.get("name") == own)
    return {int(major[1]) for each in versions if (major := re.match(r"v(\d+)\.", each))}
