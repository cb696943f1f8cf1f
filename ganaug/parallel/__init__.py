"""Work in parallel: processes and threads of one machine, shards and launchers of several."""
