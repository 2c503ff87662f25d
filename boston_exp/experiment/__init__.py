"""One experiment in plain functions and frozen dataclasses: pure, it knows neither Hydra's runtime nor MLflow."""
