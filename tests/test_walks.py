"""docs/architecture.md's three walks, as they stand there: each is executed in a fresh clone, and its files counted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, git, python

pytestmark = pytest.mark.slow
GUIDE = (ROOT / "docs" / "architecture.md").read_text()
QUICK = ("-m", "boston_exp.run", "experiment=quick_test", "figures=none", "evaluation=cv")


def walk(clone: Path, heading: str) -> list[str]:
    """Do what the walk shows; gives the files that it touched."""
    text = GUIDE.split(f"**{heading}**")[1].split("\n**")[0]
    for file, content in re.findall(r"```\w+ (\S+/\S+)\n(.*?)```", text, re.DOTALL):
        (clone / file).write_text(content)
    for name, before, added, after in re.findall(
        r"```diff\n--- a/.*?\n\+\+\+ b/(\S+)\n@@\n (.*?)\n\+(.*?)\n (.*?)\n```", text, re.DOTALL
    ):
        source = (clone / name).read_text()
        assert source.count(f"{before}\n{after}") == 1
        (clone / name).write_text(source.replace(f"{before}\n{after}", f"{before}\n{added}\n{after}"))
    return [line[3:] for line in git("status", "--porcelain", cwd=clone).splitlines()]


def test_a_model_is_one_yaml(clone: Path) -> None:
    assert walk(clone, "A model") == ["conf/model/lasso.yaml"]
    result = python(*QUICK[:2], "model=lasso", "preprocess=standard", "figures=none", cwd=clone, project=clone)
    assert "lasso standard on boston" in result.out, result.err
    swept = python("-m", "boston_exp.run", "-m", "model=lasso,ridge", "figures=none", cwd=clone, project=clone)
    assert "grid of 2 points: 2 done" in swept.out, swept.err


def test_a_metric_is_one_line(clone: Path) -> None:
    assert walk(clone, "A metric") == ["boston_exp/experiment/metrics.py"]
    assert git("diff", "--numstat", cwd=clone).split()[:2] == ["1", "0"]
    result = python(*QUICK, "objective.metric=cv_median_ae", cwd=clone, project=clone)
    assert re.search(r"median AE +[\d.]+ +[\d.]+ to [\d.]+ +[\d.]+ ± [\d.]+ +[\d.]+ +thousand USD", result.out), (
        result.err
    )
    swept = python(
        *QUICK[:2], "-m", "objective.metric=cv_median_ae", "model=ridge", "model.alpha=1,2", "figures=none",
        cwd=clone, project=clone,
    )  # fmt: skip
    assert "cv_median_ae" in swept.out
    assert re.search(r"best +alpha=\d: cv_median_ae [\d.]+ ± [\d.]+, held out [\d.]+", swept.out)


def test_a_tracker_is_one_module_and_its_yaml(clone: Path) -> None:
    assert walk(clone, "A tracker") == ["boston_exp/tracking/backends/lines.py", "conf/tracking/lines.yaml"]
    result = python(*QUICK, "tracking=lines", cwd=clone, project=clone)
    assert f"recorded in {clone}/lines.jsonl" in result.out, result.err
    (line,) = (clone / "lines.jsonl").read_text().splitlines()
    assert json.loads(line)["params"]["model.max_depth"] == "5"
    swept = python(*QUICK, "-m", "tracking=lines", "seed=1,2", cwd=clone, project=clone)
    assert "grid of 2 points: 2 done" in swept.out, swept.err
    refused = python(*QUICK, "tracking=lines", "tracking.backend=line", cwd=clone, project=clone)
    assert "choose one of dvclive, lines, mlflow, none. Did you mean 'lines'?" in refused.err
