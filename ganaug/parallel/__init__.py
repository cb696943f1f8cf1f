"""Work shared out: over processes and threads of this machine, and over the shards of several."""
