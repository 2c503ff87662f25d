"""What Slurm is told and asked: on a real one, where it is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from boston_exp.errors import ClusterUnusable
from boston_exp.sweep.cluster import slurm
from boston_exp.sweep.cluster.protocol import Place
from tests import clusters


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    reason = clusters.missing(clusters.SLURM)
    if reason:
        pytest.skip(reason)
    with clusters.slurm(tmp_path_factory.mktemp("slurm"), cpus=1) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


def sbatch(name: str, *more: str) -> str:
    command = ["sbatch", "--parsable", f"--job-name={name}", "--output=/dev/null", *more, "--wrap=sleep 60"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_consecutive_points_are_an_array_of_at_most_a_thousand() -> None:
    assert list(slurm.arrays([3, 4, 5, 9, 12, 13])) == [(3, [3, 4, 5]), (9, [9]), (12, [12, 13])]
    assert [(first, len(array)) for first, array in slurm.arrays(range(2500))] == [(0, 1000), (1000, 1000), (2000, 500)]


@pytest.mark.usefixtures("cluster")
def test_a_jobs_name_says_which_points_it_has() -> None:
    """Two nodes with a core each run two of three; a job of another sweep is none of this one's."""
    array = sbatch("boston_exp-abc-7", "--array=0-1")
    one = sbatch("boston_exp-abc-20")
    sbatch("boston_exp-abcd-0")
    clusters.until(lambda: sum(bool(place.node) for place in slurm.places_of("boston_exp-abc").values()) == 2)
    places = slurm.places_of("boston_exp-abc")
    assert {number: place.job for number, place in places.items()} == {7: f"{array}_0", 8: f"{array}_1", 20: one}
    assert {places[7].node, places[8].node} == {"node1", "node2"}
    assert places[20] == Place(one)
    subprocess.run(["scancel", array], check=True)
    clusters.until(lambda: slurm.places_of("boston_exp-abc").keys() == {20})


def test_a_slurm_that_is_away_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterUnusable, match="Slurm does not answer: squeue"):
        slurm.places_of("x")
