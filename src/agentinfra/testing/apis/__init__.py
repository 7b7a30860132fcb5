"""The APIs that are served, one file each."""
