"""The phantom: procedural tissue of four classes, drawn as a source of data."""
