"""Images from an averaged generator: sampling, filters, files in shards, sheets, and which of them serves a fold."""
