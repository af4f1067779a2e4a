"""Exchanges: one folder a venue, from its bytes to the vocabulary, and one that simulates them."""
