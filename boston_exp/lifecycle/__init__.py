"""What follows a run: which is better, where it goes, what can be thrown away. Plain functions over records."""
