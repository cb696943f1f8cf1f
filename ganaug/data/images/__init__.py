"""One image in memory: decoding, cutting to squares, perceptual hashes, PNG files and contact sheets."""
