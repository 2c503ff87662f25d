"""Where bytes live: credentials, S3, DVC remotes and .dvc files."""
