"""Starts the MLflow server in its container: secrets from their files into its environment, its user made beside it."""

import os
import shlex
import subprocess
import sys

sys.path.insert(0, "/compose")
from given import given

VARIABLES = {  # of the server: the secret that each holds
    "PGPASSWORD": "MLFLOW_DB_PASSWORD",
    "AWS_ACCESS_KEY_ID": "MLFLOW_S3_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY": "MLFLOW_S3_SECRET_ACCESS_KEY",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_AUTH_ADMIN_USERNAME": "MLFLOW_ADMIN_USERNAME",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "MLFLOW_ADMIN_PASSWORD",
}

environment = os.environ | {name: given(secret) for name, secret in VARIABLES.items()}
subprocess.Popen([sys.executable, "/compose/users.py", "http://127.0.0.1:5000"])
command = [*sys.argv[1:], *shlex.split(os.environ.get("MLFLOW_SERVER_OPTIONS", ""))]
os.execvpe(command[0], command, environment)  # noqa: S606 (the command of docker-compose.yml)
