"""The shell: the only sockets, clock and tasks. It carries, and decides nothing."""
