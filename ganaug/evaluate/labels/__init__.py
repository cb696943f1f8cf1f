"""Whether synthetic images show the class that was asked for."""
