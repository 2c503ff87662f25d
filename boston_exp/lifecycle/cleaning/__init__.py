"""What can be thrown away, how large it is, and throwing it away."""
