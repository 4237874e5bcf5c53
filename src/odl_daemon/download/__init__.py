"""The only rooms whose bytes come from the open internet."""
