"""What the future did, for training and judging only; nothing that trades may import this room."""
