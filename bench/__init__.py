"""Claims about speed, each beside the peers that it names, measured in the same run."""
