"""The table: the one queue, and the only truth about a task."""
