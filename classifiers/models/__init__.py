"""The models, one a file, and the layers that they share."""
