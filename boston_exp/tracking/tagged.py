"""Tags of the runs of an sqlite store, read in milliseconds: MLflow takes two seconds to import."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class TaggedRun:
    """An active run with some of its tags; times in milliseconds since 1970."""

    run_id: str
    status: str
    start_time: int
    tags: dict[str, str] = field(default_factory=dict)


def tagged_runs(path: Path, *patterns: str) -> list[TaggedRun]:
    """The runs that have tags of these names (`sync.*`: that begin so), the oldest first.

    Reads only. Raises sqlite3.Error for a file that cannot be read, or is no store.
    """
    found: dict[str, TaggedRun] = {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
        rows = connection.execute(
            "SELECT run_uuid, status, start_time, key, value FROM tags JOIN runs USING (run_uuid)"  # noqa: S608
            f" WHERE lifecycle_stage = 'active' AND ({' OR '.join(['key GLOB ?'] * len(patterns))})"
            " ORDER BY start_time, run_uuid",
            patterns,
        )
        for run_id, status, start_time, key, value in rows:
            found.setdefault(run_id, TaggedRun(run_id, status, start_time or 0)).tags[key] = value
    return list(found.values())
