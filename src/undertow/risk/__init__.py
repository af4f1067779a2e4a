"""What may be done: every check is a refusal with its reason, and the gate fails closed."""
