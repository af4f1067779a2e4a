"""The order book of one symbol as a ladder of price levels. Knows nothing of venues or messages."""
