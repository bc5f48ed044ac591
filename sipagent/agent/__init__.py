"""What an agent can do: its tools."""
