"""Predictions on a user's own images, and whether they can be a test: what the classifier has seen of them."""
