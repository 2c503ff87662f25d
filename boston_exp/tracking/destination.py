"""Where a run will be recorded and who decided that: override, environment, .env or the tracking group."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from boston_exp.config.commands import Doctor, Recorded
from boston_exp.config.invocation import quoted
from boston_exp.config.schema import EXPERIMENT, Config
from boston_exp.config.settings import Typed, decide
from boston_exp.redaction import redact
from boston_exp.storage import s3
from boston_exp.storage.credentials import Login, login_for
from boston_exp.storage.s3 import Access

SQLITE = "sqlite:///"
SERVER, STATE, PENDING, PUBLISHED = "sync.server", "sync.state", "pending", "published"
NOTE = "mlflow.note.content"  # tag: a description in Markdown, of runs and experiments
COPY, SOURCE = "sync.run_id", "sync.source"  # tags: the id of a run's copy on a server; of a copy, that of its source
VIA = "sync.via"  # tag: ids of the copies between a copy and its source, where it was copied more than once
CLOUD = ("s3", "gs", "wasbs", "abfss")  # where a server may have its clients write artifacts, with keys of their own


@dataclass(frozen=True)
class Destination:
    """An MLflow store by its URI, sqlite paths absolute; artifact_root is None where the store has its own rules.

    With a `server` the store is a local one, and its runs are published there; `why` tells who decided that. In a
    `worker` of a sweep the main process publishes, and closes what dead processes left open. `asks` says whether a
    server may be asked for finished runs: not during an outage.
    """

    backend: str
    uri: str
    why: str
    artifact_root: str | None
    experiment_name: str
    server: str | None = None
    experiment_typed: tuple[str, ...] = ()  # what leads another command to this experiment
    on_outage: str = "keep"
    worker: bool = False
    asks: bool = True
    allow_http: bool = False
    login: Login = field(default=Login(""), compare=False, repr=False)
    s3: Access | None = field(default=None, compare=False, repr=False)  # the way to artifacts, where they are there

    @property
    def tags(self) -> dict[str, str]:
        """What a run carries until it is published."""
        return {SERVER: without_user(self.server), STATE: PENDING} if self.server else {}

    @property
    def sqlite_path(self) -> Path | None:
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None

    def for_worker(self, asks: bool) -> Destination:
        """The same for a worker on this machine, which shares the store."""
        return replace(self, worker=True, asks=asks)

    def on_host(self, name: str) -> Destination:
        """The same for a worker on another machine: a store of its own beside the main one, which it publishes."""
        path = self.sqlite_path
        if path is None or not self.server:
            return self
        return replace(self, uri=f"{SQLITE}{path.with_name(f'{path.stem}-{name}{path.suffix}')}")

    @property
    def shown_server(self) -> str:
        """The server's address, without a user."""
        return without_user(str(self.server))

    @property
    def shown_uri(self) -> str:
        """The URI as a person would type it here, its password hidden."""
        path = self.sqlite_path
        if path is not None and path.parent == Path.cwd():
            return SQLITE + path.name
        return redact(self.uri)


def foreign_place(location: str, server: str) -> str | None:
    """What is wrong with a place for artifacts that a server gives; None if they may be written there.

    A server chooses where its clients write: a folder on another machine's disk would be one on this disk.
    """
    if not server.startswith("http"):
        return None
    parts = urlsplit(location)
    if parts.scheme == "mlflow-artifacts":
        if parts.netloc in ("", urlsplit(server).netloc.rpartition("@")[2]):
            return None
    elif parts.scheme in CLOUD or (parts.scheme in ("", "file") and s3.is_here(server)):
        return None
    return f"it has artifacts written to {location}, which is not on that server"


def without_user(uri: str) -> str:
    """The address alone: who one is to it may be said in the URI today and in the environment tomorrow."""
    try:
        netloc = urlsplit(uri).netloc
    except ValueError:  # no address
        return redact(uri)
    return uri.replace(netloc, netloc.rpartition("@")[2], 1) if netloc else uri


def resolve(config: Config | Doctor | Recorded, typed: Typed) -> Destination:
    """Where this configuration and this environment lead to; touches no store."""
    tracking = config.tracking
    own = EXPERIMENT if isinstance(config, Recorded) else str(config.data.experiment_name)
    if tracking.backend != "mlflow":
        root = tracking.artifact_root and str(
            (typed.folder("tracking.artifact_root") / tracking.artifact_root).resolve()
        )
        return Destination(tracking.backend, "", "", root, tracking.experiment_name or own)
    uri = decide("MLFLOW_TRACKING_URI", "tracking.uri", tracking.uri or "", typed)
    experiment = decide("MLFLOW_EXPERIMENT_NAME", "tracking.experiment_name", tracking.experiment_name or own, typed)
    resolved, artifact_root, server, folder = uri.value, None, None, uri.folder
    if resolved.startswith(("http://", "https://")):
        server, resolved = resolved.rstrip("/"), tracking.local_uri
        folder = typed.folder("tracking.local_uri")
    if resolved.startswith(SQLITE):
        path = (folder / resolved.removeprefix(SQLITE)).resolve()
        resolved = f"{SQLITE}{path}"
        artifact_root = tracking.artifact_root or "mlartifacts"
        bucket = config.storage.artifact_bucket
        if bucket and not server and not typed.has("tracking.artifact_root"):
            artifact_root = f"s3://{bucket}"
        if "://" not in artifact_root:  # beside the database, unless typed
            beside = typed.cwd if typed.has("tracking.artifact_root") else path.parent
            artifact_root = str((beside / artifact_root).resolve())
    known = experiment.value == EXPERIMENT or typed.has("tracking.experiment_name")
    return Destination(
        tracking.backend,
        resolved,
        uri.why,
        artifact_root,
        experiment.value,
        server,
        () if known else (f"tracking.experiment_name={quoted(experiment.value)}",),
        tracking.on_outage,
        allow_http=tracking.allow_http,
        login=login_for(server, from_conf=uri.why.startswith("from conf")) if server else Login(""),
        s3=s3.access(config.storage, typed, for_artifacts=True),
    )
