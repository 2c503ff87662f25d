"""Clusters that run points: what each takes, and what it says of the points that it has."""
