"""The doors: a request comes in."""
