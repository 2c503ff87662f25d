"""Brings runs of the local store to an MLflow server: copy one run, a queue that does it in the background, health."""
