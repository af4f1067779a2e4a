"""What users run today, driven as its authors intended, without a network."""
