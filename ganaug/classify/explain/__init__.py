"""What a kept classifier's decisions rest on: its maps, how faithful they are, and a page of them."""
