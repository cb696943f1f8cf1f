"""The projected discriminator: small heads that look at the maps of a frozen network of ImageNet, and at the pixels."""
