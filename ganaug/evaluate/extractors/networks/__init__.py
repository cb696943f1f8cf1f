"""The networks behind EXTRACTORS, one file per network."""
