"""What features are extracted with: networks, the choice of them, and which may judge a generator."""
