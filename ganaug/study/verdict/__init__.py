"""The answer of a study: its word, what else there is to say, and how far it reaches."""
