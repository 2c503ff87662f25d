"""A multirun: what it plans, how it searches, who works, how points report, what came of it."""
