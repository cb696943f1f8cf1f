"""The files of a run: its lock, the states that it resumes from, snapshots and sheets."""
