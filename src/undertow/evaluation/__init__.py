"""Judging: walk-forward, metrics with intervals, baselines, nulls, and a verdict in words."""
