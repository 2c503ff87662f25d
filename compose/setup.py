"""Sets an object store up, as often as you like: buckets, a user for each of them with the key that is given, the data.

Run by docker-compose.yml in a container of its own and by `make stack`; needs the minio SDK and nothing of the project.
"""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin

# bucket: the variables that hold the key which reaches it, and nothing else
KEYS = {
    "mlflow-artifacts": ("MLFLOW_S3_ACCESS_KEY_ID", "MLFLOW_S3_SECRET_ACCESS_KEY"),
    "boston-housing-data": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}


def main(endpoint: str, seed: Path | None, patience: float = 60) -> None:
    """`seed` is a folder with DVC objects, laid out as a DVC remote."""
    wait_for(f"{endpoint}/minio/health/live", patience)
    root = os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"]
    place = {"endpoint": urlsplit(endpoint).netloc, "secure": endpoint.startswith("https")}
    store = Minio(access_key=root[0], secret_key=root[1], **place)
    admin = MinioAdmin(credentials=StaticProvider(*root), **place)
    policy = Path(__file__).with_name("policy.json").read_text()
    for bucket, (key, secret) in KEYS.items():
        if not store.bucket_exists(bucket_name=bucket):
            store.make_bucket(bucket_name=bucket)
        admin.user_add(os.environ[key], os.environ[secret])
        admin.policy_add(f"only-{bucket}", policy=json.loads(policy.replace("BUCKET", bucket)))
        admin.policy_set(f"only-{bucket}", user=os.environ[key])
        print(f"bucket {bucket}, and a user that reaches it alone")
    for file in [file for file in seed.rglob("*") if file.is_file()] if seed and seed.is_dir() else []:
        store.fput_object("boston-housing-data", file.relative_to(seed).as_posix(), str(file))


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
