"""The reader study: pathologists sort real from generated images without knowing which is which."""
