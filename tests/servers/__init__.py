"""Real servers that tests and benches talk to; nothing here needs pytest."""
