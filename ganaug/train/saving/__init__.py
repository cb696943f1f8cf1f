"""What a run keeps on the disk: its lock, the states that it resumes from, snapshots and sheets."""
