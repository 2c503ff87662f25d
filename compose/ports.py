"""Refuses to start a stack whose ports are taken, and names who has them: an MLflow server would end without a word."""

import os
import sys

from boston_exp.diagnosis import ports

taken = []
for name, default in (("MLFLOW_PORT", 5000), ("MINIO_PORT", 9000)):
    port = int(os.environ.get(name) or default)
    if ports.listens(f"http://127.0.0.1:{port}"):
        taken.append(f"error: port {ports.taken(port)}.")
        taken.append(f"  next: end that program, or set another {name} in .env; then: make stack")
if taken:
    print("\n".join(taken), file=sys.stderr)
    sys.exit(2)
