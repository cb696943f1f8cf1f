"""Maps of what a classifier's decision rests on, and the checks of whether they show it."""
