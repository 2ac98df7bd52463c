"""Runs: paintings saved as folders on the disk."""
