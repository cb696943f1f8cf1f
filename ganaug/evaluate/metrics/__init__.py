"""The distances between real and synthetic features, one file each, and METRICS, which names them."""
