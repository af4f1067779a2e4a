"""The vocabulary: instruments, events and time. Imported by every room, imports none."""
