"""Runs: what survives of a painting, as a folder on the disk."""
