#!/bin/sh
# An S3 endpoint: the gateway of JuiceFS, which is MinIO's server code over a local folder.
set -eu
mkdir -p .stack/objects
meta="sqlite3://.stack/objects.db"
[ -f .stack/objects.db ] ||
    juicefs format --no-update --storage file --bucket "$PWD/.stack/objects/" "$meta" stack >/dev/null 2>&1 ||
    { echo "juicefs format failed" >&2; exit 1; }
exec juicefs gateway --multi-buckets --keep-etag --no-banner --no-usage-report --cache-dir .stack/cache \
    --log .stack/gateway.log "$meta" "127.0.0.1:${MINIO_PORT:-9000}"
