"""What a scored table has shown, as a run that belongs to the version of the model."""

from __future__ import annotations

from pathlib import Path

from boston_exp.lifecycle.prediction.scoring import Scored
from boston_exp.lifecycle.prediction.source import Source
from boston_exp.process import temporary_folder
from boston_exp.reporting.markdown import escaped
from boston_exp.tracking import backends
from boston_exp.tracking.destination import NOTE, Destination
from boston_exp.tracking.recorded import SCORED
from boston_exp.training import provenance


def record(destination: Destination, source: Source, found: Scored, table: str) -> str | None:
    """Record it; returns the run's id. None where the model is a file: nobody knows which store it is from."""
    if source.run is None:
        return None
    version = f"{source.version.name}/{source.version.number}" if source.version else ""
    name = Path(table).name if table != "-" else "standard input"
    judged = "\n".join(f"- {escaped(says)}" for says in (*found.broken, *found.kept))
    note = f"{found.rows:,} rows of {escaped(name)} with their target, predicted by `{source.shown}`.\n\n{judged}"
    tags = {
        SCORED: source.run.run_id,
        "scored.table": name,
        "scored.alarm": str(bool(found.broken)).lower(),
        **({"scored.version": version} if version else {}),
        NOTE: note,
        **provenance.origin(),
        "mlflow.source.name": "boston_exp.predict",
    }
    metrics = found.metrics | {"rows": float(found.rows)}
    with temporary_folder() as folder:
        if len(found.groups):
            found.groups.to_csv(Path(folder) / "slices.csv", index=False)
        return backends.open_registry(destination).record(
            source.run.run_id, f"scored {name}", metrics, tags, Path(folder)
        )
