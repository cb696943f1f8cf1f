"""Whether synthetic images repeat training images: the nearest real images, and the verdict per class."""
