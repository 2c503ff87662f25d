"""Whether an MLflow server is there, and can do what a run needs of it: known in seconds, before the training."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import requests
from mlflow.exceptions import InvalidUrlException, MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from boston_exp.errors import Fault, ServerRefuses, without_secrets
from boston_exp.storage import credentials

TIMEOUT = (1.5, 3.0)  # seconds to connect, and until an answer begins: known in five
DOCTOR = "python -m boston_exp.doctor"


@dataclass(frozen=True)
class Answer:
    """What came back from one address of the server: a status and a text, or why nothing came."""

    path: str
    status: int = 0
    text: str = ""
    away: str = ""


def outage(uri: str, experiment_name: str) -> str | None:
    """Why runs cannot be published there at this moment, in one line, or None: all of it answers.

    Asks for its health, for the experiment (which takes its database) and for its artifacts (which takes its object
    store), all at once. Raises ServerRefuses for what waiting does not mend: a password, a scheme, another program.
    """
    answers = answers_of(uri, experiment_name)
    shown = without_secrets(uri)
    objects = answers.pop("object store")
    refused = [fault for answer in answers.values() if (fault := refusal(shown, answer))]
    if refused:
        raise ServerRefuses(refused[0])
    for part, answer in answers.items():
        if answer.away:
            whose = "" if part == "server" or answers["server"].away else "answers, but its database "
            return f"{shown} {whose}{answer.away}"
        if answer.status >= 500:
            return f"{shown} answers {answer.status}" + (f" for its {part}" if part != "server" else "")
    said = object_store_fault(objects)
    return said and f"{shown} answers, but {said}"


def answers_of(uri: str, experiment_name: str, **more: str) -> dict[str, Answer]:
    """What the server, its database, its object store and `more` paths of it say, asked at once."""
    credentials.into_environment(credentials.for_server())
    paths = {
        "server": "/health",
        "database": f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(experiment_name)}",
        "object store": "/api/2.0/mlflow-artifacts/artifacts?path=boston_exp-probe",
        **more,
    }
    with ThreadPoolExecutor(len(paths)) as pool:
        return dict(zip(paths, pool.map(lambda path: ask(uri, path), paths.values()), strict=True))


def object_store_fault(answer: Answer) -> str | None:
    """What the server says of the object store behind it, which is for whoever runs the server to mend."""
    if answer.away:
        return f"its object store {answer.away}"
    if answer.status < 400 or "serve-artifacts" in answer.text:  # it leaves artifacts to its clients
        return None
    reason = re.search(r'"message": *"([^"]*)', answer.text)
    return f"its object store gives {answer.status}" + (f": {reason[1].rstrip('.')}" if reason else "")


def ask(uri: str, path: str) -> Answer:
    """One GET, with MLflow's own credentials and certificates, without its retries."""
    try:
        credentials_of_mlflow = get_default_host_creds(uri)
    except MlflowException as error:
        says = without_secrets(error.message).partition("\n")[0]
        raise ServerRefuses(Fault(f"MLflow's settings contradict each other: {says}", "env | grep MLFLOW_")) from error
    try:
        response = http_request(
            credentials_of_mlflow, path, "GET", timeout=TIMEOUT, max_retries=0, raise_on_status=False
        )
    except InvalidUrlException as error:
        fault = Fault(f"{without_secrets(uri)} is not an address.", "tracking.uri=http://<host>:<port>")
        raise ServerRefuses(fault) from error
    except MlflowException as error:
        return Answer(path, away=reason(error))
    return Answer(path, response.status_code, response.text[:2000])


def reason(error: Exception) -> str:
    """Why no answer came, after the name of the server: `is not there: connection refused`."""
    cause = error.__cause__ or error.__context__ or error
    text = str(cause)
    if isinstance(cause, requests.exceptions.SSLError):
        return f"TLS: {_short(text)}"
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
    return without_secrets(inner.removesuffix(")").partition("\n")[0])[:200]


def refusal(shown: str, answer: Answer) -> Fault | None:
    """What is wrong with how we ask, told by the answer; None if there is nothing to mend on this side."""
    host = urlsplit(shown).netloc
    if answer.away.startswith("TLS: "):
        if "WRONG_VERSION_NUMBER" in answer.away or "record layer" in answer.away:
            return Fault(f"{shown} does not speak TLS.", f"try tracking.uri=http://{host}")
        return Fault(
            f"{shown} shows a certificate that is not trusted ({answer.away.removeprefix('TLS: ')}).",
            "export MLFLOW_TRACKING_SERVER_CERT_PATH=<file with the certificate of its CA>",
        )
    if answer.status == 400 and "HTTPS" in answer.text:
        return Fault(f"{shown} speaks TLS only.", f"try tracking.uri=https://{host}")
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
        return Fault(f"{shown} answers, but it is no MLflow server.", f"{DOCTOR} tracking=server tracking.uri={shown}")
    return None
