"""What an agent is: its profile and its tools."""
