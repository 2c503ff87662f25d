"""Trains a recorded run again and says whether it is the same."""
