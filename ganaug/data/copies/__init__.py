"""Copies among images: equal files, pictures that were recompressed, turned or relit, and fields that overlap."""
