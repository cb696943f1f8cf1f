"""Files below one place, whatever form it has: a folder, a zip or a tar archive, read without unpacking."""
