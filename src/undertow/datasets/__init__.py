"""From feature bars to what a model is fitted on: rows with labels, split by time, with a manifest."""
