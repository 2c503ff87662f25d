"""What the numbers of feature_importance.csv are, which depends on the model."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from boston_exp.experiment.metrics import named
from boston_exp.experiment.models import final_step

LIGHTGBM = {"split": "number of splits on the feature", "gain": "total gain of the splits on the feature"}
XGBOOST = {
    "weight": "share of the splits that are on the feature",
    "gain": "share of the mean gain of a split on the feature",
    "cover": "share of the mean cover of a split on the feature",
    "total_gain": "share of the gain of all splits",
    "total_cover": "share of the cover of all splits",
}


def importance_label(fitted: BaseEstimator, unit: str) -> str:
    """For an axis. `unit` is that of the target.

    scikit-learn's trees: https://scikit-learn.org/stable/modules/ensemble.html#feature-importance-evaluation;
    LightGBM and XGBoost have several kinds, by their parameter `importance_type`.
    """
    model = final_step(fitted)
    if not hasattr(model, "feature_importances_"):
        return f"increase of the held-out RMSE{f' ({unit})' if unit else ''} when the feature is shuffled"
    package, kind = type(model).__module__.partition(".")[0], getattr(model, "importance_type", None)
    if package == "lightgbm":
        return LIGHTGBM.get(str(kind), f"importance ({kind})")
    if package == "xgboost":
        return XGBOOST.get(str(kind or "gain"), f"importance ({kind})")
    if package == "catboost":
        return "share of the change of the prediction when the feature changes (%)"
    if package in ("sklearn", "quantile_forest"):  # whose trees are those of scikit-learn
        return f"share of the {_criterion(model)} reduced by splits on the feature"
    return f"feature_importances_ of {type(model).__name__}"


def _criterion(model: BaseEstimator) -> str:
    """What the splits of scikit-learn's trees reduce; AdaBoost leaves its trees at their default."""
    criterion = str(getattr(model, "criterion", "squared_error"))
    return {"absolute_error": "absolute error", "poisson": "Poisson deviance"}.get(criterion, "variance")


def metric_label(name: str, unit: str) -> str:
    """Of a recorded metric, for an axis: `RMSE over folds (thousand USD)`, `held-out R²`."""
    metric = named(name.removeprefix("train_"))
    if metric is None:
        return name.replace("_", ", ") if name.endswith("_seconds") else name
    unit = f" ({metric.unit_of(unit)})" if metric.unit_of(unit) else ""
    if name.startswith("cv_"):
        return f"{metric.label} over folds{unit}"
    return f"{'training' if name.startswith('train_') else 'held-out'} {metric.label}{unit}"
