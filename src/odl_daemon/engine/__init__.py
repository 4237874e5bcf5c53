"""What the daemon does all day, told without naming a tool."""
