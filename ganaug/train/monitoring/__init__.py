"""Reports of a run while it trains: lines of stats, TensorBoard's curves, the scores of snapshots."""
