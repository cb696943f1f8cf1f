"""The parts of the fuzz run over every reader."""
