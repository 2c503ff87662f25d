"""New rows through a recorded model: predictions, their intervals, what is unusual about a row, how true it was."""
