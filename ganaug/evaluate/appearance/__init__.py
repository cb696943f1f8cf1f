"""How images look by themselves: stain, nuclei, and the spectrum of their frequencies."""
