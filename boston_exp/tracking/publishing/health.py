"""The health of an MLflow server: whether it can take runs, known in seconds, before the training."""

from __future__ import annotations

import re
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

import requests
from mlflow.exceptions import InvalidUrlException, MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from boston_exp import process
from boston_exp.config.invocation import again, command_line
from boston_exp.errors import Fault, Kind, ServerRefuses
from boston_exp.redaction import redact
from boston_exp.tracking.destination import Destination

TIMEOUT = (1.5, 3.0)  # seconds to connect, and until an answer begins
DEPTH = 8  # of the folders in which a server keeps the artifacts of a run
DEADLINE = 5.0  # seconds for a whole answer, which a time-out between bytes does not bound: an outage is known in five


@dataclass(frozen=True)
class Answer:
    """The response of one path of the server: a status and a text, or in `error` why there is none."""

    path: str
    status: int = 0
    text: str = ""
    error: str = ""


def outage(destination: Destination) -> str | None:
    """Why runs cannot be published there at this moment, in one line; None if all of it answers.

    Requests its health, the experiment (which needs its database) and its artifacts (which needs its object store), in
    parallel. Raises ServerRefuses for what waiting does not mend: a password, a scheme, another program.
    """
    answers = answers_of(destination)
    shown = destination.shown_server
    objects = answers.pop("object store")
    refused = [fault for answer in answers.values() if (fault := refusal(destination, answer))]
    if refused:
        raise ServerRefuses(refused[0])
    for part, answer in answers.items():
        if answer.error:
            whose = "" if part == "server" or answers["server"].error else "answers, but its database "
            return f"{shown} {whose}{answer.error}"
        if answer.status >= 500:
            return f"{shown} answers {answer.status}" + (f" for its {part}" if part != "server" else "")
    said = object_store_fault(objects)
    return said and f"{shown} answers, but {said}"


def lost(uri: str, shown: str) -> str | None:
    """Why the server does not answer any more; None if it is healthy. Asked before each run, as MLflow's own time-outs
    are far longer."""
    answer = ask(uri, "/health")
    if answer.error or answer.status >= 500:
        return f"{shown} {answer.error or f'answers {answer.status}'}"
    return None


def answers_of(destination: Destination, **more: str) -> dict[str, Answer]:
    """The answers of the server, its database, its object store and `more` paths, requested in parallel."""
    destination.login.into_environment()
    uri = str(destination.server)
    paths = {
        "server": "/health",
        "database": f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(destination.experiment_name)}",
        "object store": "/api/2.0/mlflow-artifacts/artifacts?path=boston_exp-probe",
        **more,
    }
    until = time.monotonic() + DEADLINE
    asked = {name: process.in_thread(partial(_ask, uri, path)) for name, path in paths.items()}
    return {name: _in_time(future, paths[name], until - time.monotonic()) for name, future in asked.items()}


def object_store_fault(answer: Answer) -> str | None:
    """What is wrong with the object store behind the server; whoever runs the server has to mend it."""
    if answer.error:
        return f"its object store {answer.error}"
    if answer.status < 400 or "serve-artifacts" in answer.text:  # 503: its clients access artifacts directly
        return None
    reason = re.search(r'"message": *"([^"]*)', answer.text)
    return f"its object store gives {answer.status}" + (f": {reason[1].rstrip('.')}" if reason else "")


def sends_elsewhere(destination: Destination) -> str | None:
    """The address that the server has its clients download artifacts from, by presigned URLs; None if from itself, or
    if there is no artifact yet to ask for."""
    uri, path = str(destination.server), ""
    if '"multipart_downloads_enabled":true' not in ask(uri, "/api/3.0/mlflow/server-info").text:
        return None
    for _ in range(DEPTH):
        listed = ask(uri, f"/api/2.0/mlflow-artifacts/artifacts?path={quote(path)}").text
        name, is_dir = (re.search(rf'"{key}": *("[^"]+"|true|false)', listed) for key in ("path", "is_dir"))
        if name is None or is_dir is None:
            return None
        path = f"{path}/".lstrip("/") + name[1].strip('"')
        if is_dir[1] == "false":
            break
    presigned = ask(uri, f"/api/2.0/mlflow-artifacts/presigned/{quote(path)}").text
    found = re.search(r'"url": *"(https?://[^/"]+)', presigned)
    return found[1] if found else None


def ask(uri: str, path: str) -> Answer:
    """One GET, with MLflow's own credentials and certificates, without its retries, answered within DEADLINE."""
    return _in_time(process.in_thread(partial(_ask, uri, path)), path, DEADLINE)


def _in_time(answer: Future[Answer], path: str, seconds: float) -> Answer:
    try:
        return answer.result(max(0.0, seconds))
    except TimeoutError:
        process.abandon_threads()
        return Answer(path, error=f"does not end its answer within {DEADLINE:.0f} s")


def _ask(uri: str, path: str) -> Answer:
    try:
        credentials_of_mlflow = get_default_host_creds(uri)
    except MlflowException as error:
        says = redact(error.message).partition("\n")[0]
        raise ServerRefuses(Fault(f"MLflow's settings contradict each other: {says}", "env | grep MLFLOW_")) from error
    try:
        response = http_request(
            credentials_of_mlflow, path, "GET", timeout=TIMEOUT, max_retries=0, raise_on_status=False
        )
    except InvalidUrlException as error:
        fault = Fault(f"{redact(uri)} is not an address.", again("tracking.uri=http://<host>:<port>"))
        raise ServerRefuses(fault) from error
    except MlflowException as error:
        return Answer(path, error=reason(error))
    return Answer(path, response.status_code, response.text[:2000])


def reason(error: Exception) -> str:
    """Why no answer came, after the name of the server: `is not there: connection refused`."""
    cause = error.__cause__ or error.__context__ or error
    text = str(cause)
    if isinstance(cause, requests.exceptions.SSLError):
        return f"TLS: {_short(text)}"
    if isinstance(cause, TimeoutError):
        return "takes too long to answer"
    if isinstance(cause, requests.exceptions.Timeout) or "timed out" in text:
        return f"does not answer within {TIMEOUT[1]:.0f} s"
    for said, means in (
        ("Connection refused", "is not there: connection refused"),
        ("Name or service not known", "is not there: no such host"),
        ("Temporary failure in name resolution", "is not there: its name cannot be resolved"),
        ("Remote end closed", "closes the connection without an answer"),
    ):
        if said in text:
            return means
    return f"cannot be reached: {_short(text)}"


def _short(text: str) -> str:
    inner = text.rpartition("(Caused by ")[2]
    return redact(inner.removesuffix(")").partition("\n")[0])[:200]


def refusal(destination: Destination, answer: Answer) -> Fault | None:
    """What is wrong with the request, judged by the answer; None if there is nothing to mend on this side."""
    shown = destination.shown_server
    host = urlsplit(shown).netloc
    if answer.error.startswith("TLS: "):
        if "WRONG_VERSION_NUMBER" in answer.error or "record layer" in answer.error:
            return Fault(f"{shown} does not speak TLS.", again(f"tracking.uri=http://{host}"))
        return Fault(
            f"{shown} shows a certificate that is not trusted ({answer.error.removeprefix('TLS: ')}).",
            "export MLFLOW_TRACKING_SERVER_CERT_PATH=<file with the certificate of its CA>",
        )
    if answer.status == 400 and "HTTPS" in answer.text:
        return Fault(f"{shown} speaks TLS only.", again(f"tracking.uri=https://{host}"))
    withheld = destination.login.withheld
    if answer.status == 401 and withheld:
        says = f"{shown} asks for a login; the one in {withheld} was set for another server and was not sent."
        beside = f"MLFLOW_TRACKING_URI={shown}"
        mend = f"put {beside} beside it in .env" if withheld == ".env" else f"export {beside}"
        return Fault(says, f"{mend}   (if it is meant for this server)")
    if answer.status == 401:
        return Fault(
            f"{shown} does not accept the user and password it was given.",
            "export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…   (or MLFLOW_TRACKING_TOKEN; or in .env)",
        )
    if answer.status == 403:
        if "host" in answer.text.lower():
            return Fault(
                f"{shown} does not accept the host name {host}.",
                f"start it with: mlflow server --allowed-hosts {host},localhost:* …",
            )
        return Fault(f"{shown} forbids it to this user.", "ask its administrator for the right to write experiments")
    missing = answer.status == 404 and "RESOURCE_DOES_NOT_EXIST" not in answer.text
    if missing or (answer.path == "/health" and answer.status == 200 and answer.text.strip() != "OK"):
        mend = command_line("doctor", "tracking=server", f"tracking.uri={shown}")
        return Fault(f"{shown} answers, but it is no MLflow server.", mend, Kind.OTHER_PROGRAM)
    return None
