"""Sockets of any venue, kept alive: what one venue speaks is a `Dialect`."""
