#!/bin/sh
# An S3 endpoint: the gateway of JuiceFS, which is MinIO's server code over a local folder.
set -eu
umask 077  # keys of users are among the data
mkdir -p .stack/objects
meta="sqlite3://.stack/meta/objects.db"
if [ ! -d .stack/meta ]; then  # under another name until it is whole
    rm -rf .stack/new .stack/objects/stack
    mkdir .stack/new
    juicefs format --storage file --bucket "$PWD/.stack/objects/" sqlite3://.stack/new/objects.db stack >/dev/null 2>&1 ||
        { echo "juicefs format failed" >&2; exit 1; }
    mv .stack/new .stack/meta
fi
exec juicefs gateway --multi-buckets --keep-etag --no-banner --no-usage-report --cache-dir .stack/cache \
    --log .stack/gateway.log "$meta" "127.0.0.1:${MINIO_PORT:-9000}"
