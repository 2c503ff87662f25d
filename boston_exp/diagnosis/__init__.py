"""What can be wrong around a run: one function per thing to look at, which gives findings and raises nothing."""
