"""What it costs: figures side by side in one run, as ratios; never a test."""
