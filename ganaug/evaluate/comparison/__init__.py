"""Real and synthetic images compared by metrics, next to real images of other patients, with intervals."""
