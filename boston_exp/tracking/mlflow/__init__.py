"""Records in an MLflow store through MLflow's client; the only room, with publishing/, that imports MLflow."""

import os

# MLflow reads these when it is imported, which happens in this room and nowhere else, or when it sends a request.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a training run talks to nobody it was not told of
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the summary says it
    # MLflow's own 7 retries of 120 s each would hold a training up for minutes of silence
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a run that cannot be published stays pending here
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    # artifacts go through the server: a presigned URL may lead to a name that only the server's containers know
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
