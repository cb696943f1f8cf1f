"""The arms of a study: what each trains on, and the names that they go by."""
