"""Model files on this disk: where they lie, what they are by their hashes, how a new one gets there whole.

Never imports `catalog`, `orchestration` or a face: a file is known here by its bytes, not by its entry."""
