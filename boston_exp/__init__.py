"""One composed command trains, evaluates and records a tabular regression experiment."""
