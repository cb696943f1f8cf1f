"""What may take part in a study: files, weights and images, before anything is trained."""
