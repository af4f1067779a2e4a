"""The engine: decisions in order of time, each recorded before it acts."""
