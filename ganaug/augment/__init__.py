"""What becomes of images before the discriminator sees them: symmetries of the data set, and adaptive augmentation."""
