"""The door for browsers and programs: API, page, live progress, metrics."""
