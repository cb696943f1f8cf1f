"""Training by several processes together: their process group, and the mean of their gradients."""
