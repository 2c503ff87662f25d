"""From Hydra's composition to plain objects, or to everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from boston_exp.config.commands import Doctor
from boston_exp.config.invocation import again
from boston_exp.config.marks import spell_out
from boston_exp.config.schema import Config, Data
from boston_exp.config.secrecy import refuse_composed
from boston_exp.config.settings import Typed
from boston_exp.errors import Fault, InvalidConfig, did_you_mean

ENDINGS = (
    *(".csv", ".tsv", ".txt", ".dat", ".data", ".gz", ".bz2", ".xz", ".zip"),
    *(".parquet", ".feather", ".arrow", ".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"),
)  # of tables
OF_A_TABLE = (Config, Doctor)  # schemas whose `data` is a table; that of others says how one is read
Composed = TypeVar("Composed")


def parse(cfg: DictConfig, typed: Typed, schema: type[Composed] = Config) -> Composed:  # type: ignore[assignment]
    """The composed configuration as plain objects, the data's path absolute.

    Raises InvalidConfig where it holds a secret, where a value that only the user can give is missing, where a key was
    added that nobody reads, and where an interpolation cannot be resolved.
    """
    refuse_composed(cfg)
    missing = [Fault(f"{key} has no value.", again(f"{key}=<value>")) for key in sorted(OmegaConf.missing_keys(cfg))]
    if missing:
        raise InvalidConfig(*missing, *(source_faults(cfg.data) if schema in OF_A_TABLE else ()))
    unknown = list(_unknown_keys(cfg, schema))
    if unknown:
        raise InvalidConfig(*unknown)
    try:
        config: Any = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        says = f"The configuration cannot be resolved: {error}".partition("\n")[0]
        raise InvalidConfig(Fault(says, f"{again(multirun=False)} --cfg job")) from error
    assert isinstance(config, schema)
    if isinstance(config, Config) and config.objective.metric is None:
        config.objective.metric = config.evaluation.selection_metric
    if isinstance(config, Config) and config.name is not None:
        raw = typed.text("name")
        config.name = raw if raw and re.fullmatch(r"[\d.eE+_-]+", raw) else config.name  # 2e3 is a name, too
    if isinstance(config, Config) and config.report is not None:
        config.report = str((typed.folder("report") / Path(config.report).expanduser()).resolve())
    if isinstance(getattr(config, "data", None), Data):
        spell_out(config.data)
    if isinstance(config, OF_A_TABLE):
        _complete(config.data, typed)
    found: Composed = config
    return found


def _complete(data: Data, typed: Typed) -> None:
    """Make the path absolute, and name the table after its file where it has no name."""
    if data.path is not None:
        data.path = str((typed.folder("data.path") / Path(data.path).expanduser()).resolve())
    if data.name is None:
        name = Path(data.path or str(data.loader).rpartition(".")[2]).name
        while data.path is not None and (ending := Path(name).suffix.lower()) in ENDINGS and name != ending:
            name = name[: -len(ending)]
        data.name = name
    if data.experiment_name is None:
        data.experiment_name = data.name
    if data.roles is not None:
        data.roles = _roles(data.roles, typed)


def _roles(given: Any, typed: Typed) -> list[str]:
    """`<column>:<role>` for each column; from a list, a mapping, or a YAML file that has one of them."""
    wrong = Fault(
        'data.roles has to be a list such as ["Objekt-ID:id"], or a YAML file with lines such as `Objekt-ID: id`.',
        again('data.roles=["<column>:<role>"]'),
    )
    if isinstance(given, str):
        file = typed.folder("data.roles") / Path(given).expanduser()
        try:
            given = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidConfig(Fault(f"data.roles={file} cannot be read. {wrong.says}", wrong.mend)) from error
    if isinstance(given, dict):
        given = [f"{column}:{role}" for column, role in given.items()]
    if not isinstance(given, list) or not all(isinstance(each, str) and ":" in each for each in given):
        raise InvalidConfig(wrong)
    return given


def source_faults(data: Data) -> Iterator[Fault]:
    """A table comes from a file or from a loader, not from both, not from neither."""
    if (data.path is None) == (data.loader is None):
        yield Fault(
            "data needs either a path or a loader.", again("data=csv", "data.path=my.csv", "data.target=<column>")
        )


def _unknown_keys(cfg: DictConfig, schema: Any) -> Iterator[Fault]:
    """Keys that were added with a plus to nodes that are closed: nobody would ever read them."""
    kinds: dict[str, Any] = {item.name: item.default_factory for item in fields(schema)}
    closed: dict[str, Any] = {
        name: kind for name, kind in kinds.items() if isinstance(kind, type) and is_dataclass(kind)
    }
    for prefix, node, kind in [("", cfg, schema), *((f"{name}.", cfg[name], kind) for name, kind in closed.items())]:
        known = [item.name for item in fields(kind)]
        for key in map(str, node or ()):
            if key not in known:
                says = f"{prefix}{key} is not a setting.{did_you_mean(key, known)}"
                yield Fault(says, f"{again(without=[prefix + key])}   (--help shows every setting)")


def literal(node: Any) -> Any:
    """A configuration that is resolved, for OmegaConf once more: a `${` in it is text, and looks nothing up here."""
    if isinstance(node, dict):
        return {key: literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [literal(value) for value in node]
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", node) if isinstance(node, str) else node
