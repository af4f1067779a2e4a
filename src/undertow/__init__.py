"""Undertow: crypto market microstructure, from the exchange's bytes to a judged decision."""

__version__ = "0.1.0"
