"""Scans, the lists of images that sources give, and the checks and notes that all sources share."""
