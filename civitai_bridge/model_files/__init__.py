"""Model files on this disk: where they are, what they are by their hashes, how a new one gets there whole.

`atomic` writes every file of the pack, `database` opens every SQLite file. `scan` fills `index`; `download` loads one.
Never imports `catalog`, `orchestration` or a face: a file is known here by its bytes, not by its entry."""
