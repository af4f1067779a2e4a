"""What to want: set-ups, the hybrid score and the size of the position asked for."""
