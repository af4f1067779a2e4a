"""Tables that anyone can read: Parquet, an hour a file, with a manifest."""
