"""Sets the stores up, as often as you like: buckets with a user for each, the data, PostgreSQL's databases and roles.

Run by docker-compose.yml in a container of its own and by `make stack`; needs the minio SDK, psycopg2 where there is a
PostgreSQL, and nothing of the project.
"""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from given import given  # beside this file
from minio import Minio
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin

# bucket: the variables that hold the key which reaches it, and nothing else
KEYS = {
    "mlflow-artifacts": ("MLFLOW_S3_ACCESS_KEY_ID", "MLFLOW_S3_SECRET_ACCESS_KEY"),
    "boston-housing-data": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}
# database and role of that name: the variable that holds its password
ROLES = {"mlflow": "MLFLOW_DB_PASSWORD", "optuna": "OPTUNA_DB_PASSWORD"}


def main(endpoint: str, seed: Path | None, patience: float = 60) -> None:
    """`seed` is a folder with DVC objects, laid out as a DVC remote."""
    wait_for(f"{endpoint}/minio/health/live", patience)
    root = given("MINIO_ROOT_USER"), given("MINIO_ROOT_PASSWORD")
    place = {"endpoint": urlsplit(endpoint).netloc, "secure": endpoint.startswith("https")}
    store = Minio(access_key=root[0], secret_key=root[1], **place)
    admin = MinioAdmin(credentials=StaticProvider(*root), **place)
    policy = Path(__file__).with_name("policy.json").read_text()
    for bucket, (key, secret) in KEYS.items():
        if not store.bucket_exists(bucket_name=bucket):
            store.make_bucket(bucket_name=bucket)
        admin.user_add(given(key), given(secret))
        admin.policy_add(f"only-{bucket}", policy=json.loads(policy.replace("BUCKET", bucket)))
        admin.policy_set(f"only-{bucket}", user=given(key))
        print(f"bucket {bucket}, and a user that reaches it alone")
    for file in [file for file in seed.rglob("*") if file.is_file()] if seed and seed.is_dir() else []:
        store.fput_object("boston-housing-data", file.relative_to(seed).as_posix(), str(file))


def databases(host: str, port: int = 5432) -> None:
    """A database each for MLflow and for Optuna's studies, owned by a role that reaches no other."""
    import psycopg2
    from psycopg2 import sql

    admin = {"user": given("POSTGRES_USER") or "postgres", "password": given("POSTGRES_PASSWORD")}
    connection = psycopg2.connect(host=host, port=port, dbname="postgres", connect_timeout=10, **admin)
    connection.autocommit = True  # CREATE DATABASE runs in no transaction
    with connection.cursor() as cursor:
        for name, password in ROLES.items():
            role, secret = sql.Identifier(name), sql.Literal(given(password))
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
            verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
            cursor.execute(sql.SQL("{} ROLE {} LOGIN NOSUPERUSER PASSWORD {}").format(verb, role, secret))
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
            cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(role))
            print(f"database {name}, and a role that reaches it alone")
    connection.close()


def wait_for(url: str, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(url, timeout=2)  # noqa: S310 (an address of our own)
            return
        except OSError as error:
            if time.monotonic() > until:
                sys.exit(f"{url} does not answer: {error}")
            time.sleep(0.1)


if __name__ == "__main__":
    main(os.environ["S3_ENDPOINT"], Path(os.environ["SEED"]) if os.environ.get("SEED") else None)
    if os.environ.get("POSTGRES_HOST"):
        databases(os.environ["POSTGRES_HOST"])
