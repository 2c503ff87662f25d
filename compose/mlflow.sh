#!/bin/sh
# The service `mlflow` of docker-compose.yml, on sqlite instead of PostgreSQL.
set -eu
umask 077  # keys of users are among the data
mkdir -p .stack
export MLFLOW_BACKEND_STORE_URI="sqlite:///$PWD/.stack/mlflow.db"
export MLFLOW_S3_ENDPOINT_URL="http://127.0.0.1:${MINIO_PORT:-9000}"
export AWS_ACCESS_KEY_ID="$MLFLOW_S3_ACCESS_KEY_ID" AWS_SECRET_ACCESS_KEY="$MLFLOW_S3_SECRET_ACCESS_KEY"
unset AWS_SESSION_TOKEN AWS_PROFILE
# for --app-name basic-auth
if [ -z "${MLFLOW_AUTH_CONFIG_PATH:-}" ]; then
    printf '[mlflow]\ndefault_permission = EDIT\ndatabase_uri = sqlite:///%s\n' "$PWD/.stack/users.db" >.stack/users.ini
    export MLFLOW_AUTH_CONFIG_PATH="$PWD/.stack/users.ini"
fi
export MLFLOW_AUTH_ADMIN_USERNAME="${MLFLOW_ADMIN_USERNAME:-}" MLFLOW_AUTH_ADMIN_PASSWORD="${MLFLOW_ADMIN_PASSWORD:-}"
export AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=2 MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
exec mlflow server --host 127.0.0.1 --port "${MLFLOW_PORT:-5000}" --workers 1 --artifacts-destination s3://mlflow-artifacts \
    ${MLFLOW_SERVER_OPTIONS:-}
