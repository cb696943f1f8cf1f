"""Metrics between the features of real and of synthetic images, one file each, and METRICS, which names them."""
