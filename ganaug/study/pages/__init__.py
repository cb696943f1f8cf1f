"""What a study leaves to be read: a page, tables, and a card for its synthetic images."""
