"""What a sweep shows while it runs: a block on a terminal that is gone in the end, a line a point elsewhere."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation
from boston_exp.sweep.live import block, duration
from boston_exp.sweep.plan import Aim, Point, Result
from boston_exp.sweep.progress import Progress
from boston_exp.sweep.screen import Screen
from tests.conftest import ROOT
from tests.terminal import Terminal

AIM = Aim(("cv_rmse",), ("minimize",))


def point(number: int) -> Point:
    return Point((f"model.max_depth={number}",), (("model.max_depth", str(number)), ("model.n_estimators", "50")))


def ended(number: int, status: str = "finished", rmse: float | None = 4.0) -> Result:
    metrics = {} if rmse is None else {"cv_rmse": rmse, "cv_rmse_std": 0.5}
    return Result(point(number), str(number), status, f"id{number}", metrics, "" if status != "failed" else "no memory")


def test_the_time_left_is_that_of_points_that_were_trained() -> None:
    """1,000 points that are taken over at once say nothing of the ten that are to be trained."""
    progress = Progress(1010, AIM, workers=2)
    for number in range(1000):
        progress.ended(ended(number, "reused"), now=0.0)
    assert progress.left(now=0.0) is None
    progress.began(point(1000), now=0.0)
    progress.began(point(1001), now=0.0)
    progress.ended(ended(1000), now=4.0)
    assert progress.left(now=4.0) == pytest.approx((0 + 8 * 4.0) / 2)
    progress.ended(ended(1001, "reused"), now=4.0)  # its worker has found it done
    assert progress.left(now=4.0) == pytest.approx(8 * 4.0 / 2)


def test_the_last_point_takes_as_long_as_it_takes_however_many_workers_are_idle() -> None:
    progress = Progress(2, AIM, workers=8)
    progress.began(point(0), now=0.0)
    progress.ended(ended(0), now=10.0)
    progress.began(point(1), now=10.0)
    assert progress.left(now=13.0) == pytest.approx(7.0)
    assert progress.left(now=90.0) == 0.0


def test_a_deadline_ends_the_time_left() -> None:
    progress = Progress(None, AIM, workers=1)
    assert progress.left(now=0.0) is None
    progress.deadline = 60.0
    assert progress.left(now=20.0) == 40.0
    progress = Progress(100, AIM, workers=1)
    progress.deadline = 60.0
    assert progress.left(now=0.0) is None  # ten minutes were said to be left of two points of a second
    progress.began(point(0), now=0.0)
    progress.ended(ended(0), now=10.0)
    assert progress.left(now=10.0) == 50.0


def test_what_a_cluster_has_in_its_queue_waits_and_takes_no_time() -> None:
    """A launcher is given all points at once, and has two workers."""
    progress = Progress(4, AIM, workers=2)
    for number in range(4):
        progress.began(point(number), now=0.0)
    assert (len(progress.running), len(progress.waiting)) == (2, 2)
    assert progress.ended(ended(0), now=5.0) == 5.0
    assert progress.ended(ended(1), now=5.0) == 5.0
    assert [each.point for each in progress.running] == [point(2), point(3)]
    assert progress.ended(ended(2), now=10.0) == 5.0


def test_load_is_the_share_of_time_that_workers_have_a_point() -> None:
    progress = Progress(4, AIM, workers=2)
    progress.began(point(0), now=100.0)
    assert progress.busy(now=110.0) == pytest.approx(0.5)
    progress.ended(ended(0), now=110.0)
    assert progress.busy(now=120.0) == pytest.approx(0.25)


def test_a_point_that_is_tried_again_is_one_point() -> None:
    progress = Progress(1, AIM, workers=2)
    progress.began(point(0), now=0.0)
    progress.began(point(0), now=1.0)
    assert [each.since for each in progress.running] == [1.0]


@settings(max_examples=40)
@given(
    st.integers(8, 130), st.integers(1, 40), st.integers(1, 70), st.integers(0, 40), st.booleans(),
    st.sampled_from([None, 7, 100]),
)  # fmt: skip
def test_the_block_fits_every_window(
    width: int, height: int, workers: int, done: int, ending: bool, total: int | None
) -> None:
    """A line that is wider, or one line too many, would scroll at each drawing and leave a trail."""
    progress = Progress(total, AIM, workers)
    for number in range(done):
        progress.began(point(number), now=0.0)
        progress.ended(ended(number, ("finished", "failed", "pruned")[number % 3]), now=1.0)
    progress.began(point(999), now=1.0)
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    console.print(block(progress, console, 2.0, 150.0, ending))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= max(1, height - 1)
    plain = Console(file=io.StringIO(), width=width, height=height)
    plain.print(block(progress, plain, 2.0, 150.0, ending))
    lines = plain.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width


def test_the_block_says_what_matters_in_80_columns() -> None:
    progress = Progress(60, AIM, workers=2)
    for number, status in enumerate(("finished", "reused", "pruned", "failed")):
        progress.began(point(number), now=0.0)
        progress.ended(ended(number, status, None if status in ("pruned", "failed") else 3.7214), now=8.0)
    progress.began(point(9), now=8.0)
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(block(progress, console, 10.5, 187.0, ending=False))
    first, best, one, other, load = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.startswith("4/60 ")
    assert first.endswith("1 running, 1 failed, 1 pruned, 1 reused; about 4 min left")
    assert best == "best  cv_rmse 3.721 ± 0.50: max_depth=0 n_estimators=50"
    assert one.split() == ["1", "max_depth=9", "n_estimators=50", "2.5", "s"]
    assert other.split() == ["2", "idle"]
    assert load.startswith("load  busy")
    assert load.endswith("187 % of a core now")
    console.print(block(progress, console, 10.5, 187.0, ending=True))
    assert console.file.getvalue().endswith("ending what runs; Ctrl-C again ends at once\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (720, "12 min"), (11520, "3.2 h")]
)
def test_durations_have_two_digits(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_elsewhere_each_point_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    invocation.begin(Invocation.of("run", ["-m", "model.max_depth=1,2,3"]))
    with Screen(3, AIM) as screen:
        for number in range(3):
            screen.began(number, point(number))
        screen.update(ended(0))
        screen.update(replace(ended(1, "failed", None), run_id="0123abcd"))
        screen.say("the study goes on")
        screen.update(ended(2, rmse=3.5))
        screen.update(ended(3, "reused", rmse=3.9))
        screen.interrupted()
    assert capsys.readouterr().err.splitlines() == [
        "1/3 finished cv_rmse 4.000 ± 0.50: max_depth=0 n_estimators=50, 0.0 s; best 4.000",
        "2/3 failed max_depth=1 n_estimators=50: no memory",
        "       run 0123abcd: python -m boston_exp.run model.max_depth=1",
        "the study goes on",
        "3/3 finished cv_rmse 3.500 ± 0.50: max_depth=2 n_estimators=50, 0.0 s; best 3.500",
        "4/4 reused cv_rmse 3.900 ± 0.50: max_depth=3 n_estimators=50; best 3.500",
        "stopped after 4 of 4 points; the same command goes on from here: "
        "python -m boston_exp.run -m model.max_depth=1,2,3",
    ]


def test_quiet_tells_of_failures_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(2, AIM, quiet=True) as screen:
        screen.update(ended(0))
        screen.say("the study goes on")
        screen.update(ended(1, "failed", None))
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "2/2 failed max_depth=1 n_estimators=50: no memory"
    assert "finished" not in err
    assert "study" not in err


def test_colours_that_are_forced_make_no_pipe_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FORCE_COLOR is set by many a CI; a log is no place for moves of the cursor."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Screen(1, AIM) as screen:
        screen.update(ended(0))
    assert "\x1b" not in capsys.readouterr().err


SHOWN = """
import sys, time
from pathlib import Path
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.plan import Aim, Point, Result

def point(number):
    return Point((f"x={number}",), (("x", str(number)), ("y", "value" * 30)))

with Screen(4, Aim(("cv_rmse",), ("minimize",)), workers=2) as screen:
    for number in range(4):
        screen.began(number, point(number))
        time.sleep(0.6)
        print("a warning of a library", number)
        failed = number == 1
        screen.update(Result(point(number), "k", "failed" if failed else "finished", None, {} if failed else {"cv_rmse": 9.0 - number}, "why"))
    while not Path("go_on").exists():
        time.sleep(0.05)
print("the report")
"""  # noqa: E501


def shown(folder: Path, script: str, columns: int, lines: int) -> Terminal:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Terminal([sys.executable, "-c", script], folder, environment, columns, lines)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 5), (120, 3)])
def test_a_terminal_shows_one_block_of_which_nothing_is_left(tmp_path: Path, columns: int, lines: int) -> None:
    """On a real one; what others print stays, above the block; the cursor is there at each moment."""
    terminal = shown(tmp_path, SHOWN, columns, lines)
    try:
        text = terminal.wait_for(lambda text: "4/4" in text)
        assert text.count("/4 ") == 2  # the failure, which stays, and the block
        assert len(text.splitlines()[-lines:]) <= lines
        if lines > 5:
            assert "best  cv_rmse 6.000: x=3" in text
            assert "load  busy" in text
        (tmp_path / "go_on").touch()
        assert terminal.read_to_the_end() == 0
        told = [line for line in terminal.text.splitlines() if line]
        assert told[-1] == "the report"
        assert not any("4/4" in line or "busy" in line or line.startswith("best") for line in told)
        assert sum("a warning of a library" in line for line in told) == 4
        assert terminal.cursor_is_shown
    finally:
        terminal.close()


def test_kill_9_leaves_the_cursor(tmp_path: Path) -> None:
    terminal = shown(tmp_path, SHOWN, 80, 24)
    try:
        terminal.wait_for(lambda text: "2/4" in text)
        terminal.process.kill()
        terminal.read_to_the_end()
        assert terminal.cursor_is_shown
    finally:
        terminal.close()
