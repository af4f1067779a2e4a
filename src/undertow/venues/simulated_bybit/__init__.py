"""A small simulated Bybit: the markets of `venues.simulated` behind the sockets and REST of Bybit v5."""
