"""The truth: raw frames in the order they were received."""
