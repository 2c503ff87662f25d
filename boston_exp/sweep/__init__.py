"""What a multirun adds: one parent run, resume, reuse, progress, failures that do not end it."""
