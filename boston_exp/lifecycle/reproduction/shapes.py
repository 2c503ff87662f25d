"""Whether a record has the shape that this project writes: it is data, maybe another person's, and is checked once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from boston_exp.config.schema import Config

# What a composition has at its top; every version has recorded these or fewer. `hydra` and `defaults` are not among
# them: Hydra would obey them, and its logging writes files.
KEYS = frozenset(field.name for field in fields(Config))
MAPPINGS = ("model", "preprocess", "data", "evaluation", "tracking", "storage", "figures", "objective")
TEXTS = ("path", "loader")  # of `data`: text or nothing
WORD = re.compile(r"[A-Za-z0-9_]+")  # a BLAS kernel and CPU instructions, which become values of variables


def of_config(config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a recorded composition."""
    unknown = sorted(str(key) for key in config if key not in KEYS)
    if unknown:
        yield f"has {', '.join(unknown)} at its top, which no composition of this project has"
    for name in MAPPINGS:
        if not isinstance(config.get(name) or {}, dict):
            yield f"{name} is no mapping"
    for name in ("model", "preprocess"):
        if any("${" in text for text in _texts(config.get(name))):
            yield f"{name} has an interpolation (${{…}}), and a composition is recorded resolved"
    data = config.get("data")
    for name in TEXTS:
        if isinstance(data, dict) and not isinstance(data.get(name), str | None):
            yield f"data.{name} is no text"
    trusted = config.get("trusted_packages") or []
    if not isinstance(trusted, list) or not all(isinstance(each, str) for each in trusted):
        yield "trusted_packages is no list of names"


def of_platform(platform: object) -> Iterator[str]:
    """What is wrong with a recorded machine; None, of a record that has none, is right."""
    if platform is None:
        return
    if not isinstance(platform, dict):
        yield "is no mapping"
        return
    pools = platform.get("pools") or []
    if not isinstance(pools, list) or not all(isinstance(pool, dict) for pool in pools):
        yield "pools is no list of mappings"
        return
    for pool in pools:
        threads, kernel = pool.get("threads"), pool.get("kernel")
        if threads is not None and (type(threads) is not int or threads < 1):
            yield "the threads of a pool are no whole number of at least 1"
        if kernel is not None and not _is_word(kernel):
            yield "the kernel of a pool is no word"
        if not all(isinstance(pool.get(name), str | None) for name in ("library", "version")):
            yield "library or version of a pool is no text"
    simd = platform.get("numpy_simd") or ""
    if not isinstance(simd, str) or not all(map(_is_word, simd.split())):
        yield "numpy_simd is no list of words"


def _is_word(value: object) -> bool:
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def _texts(node: object) -> Iterator[str]:
    """Every text in a nested configuration, keys included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node
