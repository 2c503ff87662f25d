"""What an experiment does, in plain functions and frozen dataclasses; nothing here knows Hydra's runtime or MLflow."""
