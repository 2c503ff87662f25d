"""Where bytes live: DVC remotes."""
