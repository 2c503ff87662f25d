"""Sets the object store and the user up, waits until the stack answers, and says so; then it waits to be ended."""

import os
import threading
from pathlib import Path

import setup  # beside this file
import users

S3 = f"http://127.0.0.1:{os.environ.get('MINIO_PORT', '9000')}"
MLFLOW = f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT', '5000')}"

setup.main(S3, Path("data/remote"))
users.make(MLFLOW)
print(
    f"ready: MLflow at {MLFLOW}, S3 at {S3}; now, in another terminal: python -m boston_exp.run env=compose", flush=True
)
threading.Event().wait()
