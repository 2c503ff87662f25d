"""What an experiment is made of: schemas of conf/, the composed configuration, what the environment adds, its checks.

Nothing here imports more than Hydra, so that `--help`, `--cfg job` and a refusal are quick.
"""
