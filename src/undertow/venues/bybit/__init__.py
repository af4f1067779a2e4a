"""Bybit, linear contracts (v5)."""
