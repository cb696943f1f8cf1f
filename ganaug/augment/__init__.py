"""The changes to images before the discriminator sees them: the data set's symmetries and adaptive augmentation."""
