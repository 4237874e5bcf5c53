"""Where files end up."""
