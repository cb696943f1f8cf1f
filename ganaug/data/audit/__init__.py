"""The audit of a split: whether patients, sites, files or pictures stand in more than one of its parts."""
