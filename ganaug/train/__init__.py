"""Training of a generator: the pure parts (losses, phases, averages), the state that survives, and the loop."""
