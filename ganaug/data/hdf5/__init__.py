"""HDF5 files that are safe to read, survive a failed write, and are sealed."""
