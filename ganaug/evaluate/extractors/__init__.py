"""Networks that turn images into the features that distances are taken on, one file per network."""
