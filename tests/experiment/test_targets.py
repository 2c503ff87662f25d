"""What a `_target_` may be is known before anything is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from boston_exp.experiment.targets import checked, instantiated


def test_a_text_of_a_resolved_configuration_stays_text(tmp_path: Path) -> None:
    """Resolved once more, it would be a target that was never checked: this one removes a folder. A configuration that
    is trained again (`promote`, `reproduce`) may be another person's."""
    victim = tmp_path / "victim"
    victim.mkdir()
    text = f"${{oc.create:{{_target_: sklearn.datasets.clear_data_home, data_home: {victim}}}}}"
    inside = {"_target_": "sklearn.svm.SVR", "kernel": text}
    node = {"_target_": "sklearn.ensemble.VotingRegressor", "estimators": [["a", inside]], "weights": [text]}
    made = instantiated(node, ["sklearn.*"])
    assert made.weights == [text]
    assert made.estimators[0][1].kernel == text
    assert victim.is_dir()


@pytest.mark.parametrize("target", ["sklearn.datasets.clear_data_home", "sklearn.pipeline.make_pipeline"])
def test_a_function_is_no_part_of_an_estimator(target: str) -> None:
    with pytest.raises(TypeError, match="is not an estimator"):
        checked({"_target_": "sklearn.preprocessing.FunctionTransformer", "func": {"_target_": target}}, ["sklearn.*"])
