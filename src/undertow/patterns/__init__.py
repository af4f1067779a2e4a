"""Order-flow patterns: exact definitions with causal thresholds, and what followed them."""
