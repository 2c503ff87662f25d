"""Takes the pictures of docs/gallery.md: `make gallery`.

Trains an afternoon's runs in a folder of its own, opens MLflow's pages and the reports in a headless Chromium, shows
what two commands print on a terminal of 100 columns, and writes docs/gallery.md and docs/gallery/*.png.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from PIL import Image
from rich.console import Console
from rich.text import Text

from tests import services
from tests.browser import Browser, browser
from tests.conftest import ROOT

PICTURES = ROOT / "docs" / "gallery"
COLUMNS = 100
WIDE, NARROW = 1400, 900  # pixels
COLOURS = 128  # of a picture's palette: text and few colours, a fifth of the bytes
QUIET_ASSISTANT = "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')"
TO_DESCRIPTION = """
[...document.querySelectorAll('button')].filter(b => b.innerText == 'Show more').forEach(b => b.click());
[...document.querySelectorAll('h2,h3,h4')].find(h => h.innerText.startsWith('Description'))?.scrollIntoView()
"""
SWEEP = ("-m", "model.max_depth=3,5,10,null", "model.n_estimators=20,50,100", "report=sweep.html")


def run(folder: Path, *overrides: str, program: str = "run") -> str:
    """A command and what it prints on a terminal, colours included."""
    main, terminal = pty.openpty()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own_store = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PATH": path}
    environment = {**os.environ, **own_store, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "60"}
    typed = ["-m", f"boston_exp.{program}", *overrides]
    own = [f"hydra.run.dir={folder}/out", f"hydra.sweep.dir={folder}/many"] if program == "run" else []
    command = [sys.executable, *typed, *own]
    started = subprocess.Popen(command, cwd=folder, env=environment, stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    said = b""
    with suppress(OSError):  # Linux's way to say that the other end was closed
        while part := os.read(main, 65536):
            said += part
    os.close(main)
    told = started.communicate()[1]
    if started.returncode:
        raise RuntimeError(told.decode())
    text = said.decode().replace("\r\n", "\n")
    for each in own:
        text = text.replace(f" {each}", "")
    return f"$ python {' '.join(typed)}\n{text}"


def screen(folder: Path, tab: Browser, text: str, name: str) -> None:
    """What a terminal shows, as a picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text), soft_wrap=False)
    shown = console.export_html(inline_styles=True)
    page = folder / f"{name}.html"
    page.write_text(shown.replace("<body>", "<body style='margin:16px; font-size:15px'>"))
    tab.size(COLUMNS * 9 + 60)
    tab.open(page.as_uri(), lambda shown: "boston_exp" in shown)
    tab.size(COLUMNS * 9 + 60, int(tab.evaluated("document.querySelector('pre').getBoundingClientRect().bottom")) + 16)
    take(tab, name)


def take(tab: Browser, name: str) -> None:
    """Write the picture, in few colours."""
    file = PICTURES / f"{name}.png"
    tab.picture(file)
    Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


def pages(tab: Browser, url: str, client: MlflowClient) -> None:
    """MLflow's own."""
    runs = {each.info.run_name: each for each in client.search_runs(["1"])}
    parent = next(each for name, each in runs.items() if "grid over" in name)
    (model,) = parent.outputs.model_outputs
    ml = "workflowType=machine_learning"
    tab.open(f"{url}/#/experiments", lambda shown: "boston-housing" in shown)
    tab.evaluated(QUIET_ASSISTANT)
    for name, address, word in (
        ("runs", f"runs?{ml}&viewStateShareKey=cv_rmse", "deep-forest"),
        ("sweep", f"runs?{ml}&viewStateShareKey=sweep-{parent.info.run_id[:8]}", "max_depth=10"),
        ("run", f"runs/{runs['deep-forest'].info.run_id}?{ml}", "held out (95 % interval)"),
        ("model", f"models/{model.model_id}?{ml}", "Datasets used"),
        ("models", f"models?{ml}", "deep-forest"),
    ):
        for width in (WIDE, NARROW):
            tab.size(width)
            tab.open(f"{url}/#/experiments/1/{address}", lambda shown, word=word: word in shown)  # type: ignore[misc]
            if name == "run":
                tab.evaluated(TO_DESCRIPTION)
            take(tab, f"mlflow-{name}-{width}")


def reports(tab: Browser, folder: Path) -> None:
    """Ours, on light and dark screens."""
    for name, height in (("run", 1250), ("sweep", 1500), ("compare", 1300)):
        for width, scheme in ((WIDE, "light"), (NARROW, "dark")):
            tab.size(width, height)
            tab.prefer(scheme)
            tab.open((folder / f"{name}.html").as_uri(), lambda shown: len(shown) > 200)
            take(tab, f"report-{name}-{width}")
    tab.prefer("light")


def main() -> None:
    """Everything, then docs/gallery.md."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    with tempfile.TemporaryDirectory() as name, browser(WIDE) as tab:
        folder = Path(name)
        ridge = run(folder, "model=ridge", "preprocess=standard", "evaluation=cv")
        deep = run(folder, "evaluation=cv", "model.n_estimators=200", "name=deep-forest", "report=run.html")
        swept = run(folder, *SWEEP)
        ids = [text.split("run id")[1].split()[0] for text in (ridge, deep)]
        run(folder, f"runs=[{','.join(ids)}]", "report=compare.html", program="compare")
        screen(folder, tab, deep, "screen-run")
        screen(folder, tab, swept, "screen-sweep")
        screen(folder, tab, run(folder, program="leaderboard"), "screen-leaderboard")
        reports(tab, folder)
        with services.mlflow_ui(folder, folder / "mlflow.db") as served:
            pages(tab, served.url, MlflowClient(f"sqlite:///{folder}/mlflow.db"))
    (ROOT / "docs" / "gallery.md").write_text(told())


TITLES = {
    "screen-run": "A run on the screen",
    "screen-sweep": "A sweep on the screen",
    "screen-leaderboard": "The leaderboard on the screen",
    "mlflow-runs": "MLflow's list of runs, as `next` opens it: the best by folds first",
    "mlflow-sweep": "The points of a sweep, as its `next` opens them",
    "mlflow-run": "A run's page: what was trained, how good, what stands out, what to type next",
    "mlflow-model": "The page of a sweep's best model",
    "mlflow-models": "MLflow's list of models",
    "report-run": "`report=` of a run",
    "report-sweep": "`report=` of a sweep",
    "report-compare": "`report=` of a comparison",
}


def told() -> str:
    """docs/gallery.md."""
    lines = [
        "# Gallery",
        "",
        "Made by `make gallery` from real runs, at 1400 and at 900 pixels; reports at 900 are dark.",
        "",
    ]
    for name, title in TITLES.items():
        files = [PICTURES / f"{name}{ending}.png" for ending in ("", f"-{WIDE}", f"-{NARROW}")]
        shown = [f"![{file.stem}](gallery/{file.name})" for file in files if file.exists()]
        lines += [f"## {title}", "", *shown, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
