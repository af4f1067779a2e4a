"""Frames in, features out: one function a feature, the same for a day and for a single bar."""
