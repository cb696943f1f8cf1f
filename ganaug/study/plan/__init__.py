"""The plan of a study: what it costs, and what it could show."""
