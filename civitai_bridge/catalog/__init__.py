"""The catalogs `models.json` and `loras.json`: what is in them, what of it is here, and every change to them.

From the ground up: entries, query, places, answers (values); edit, catalog_file, store (the files); entry_index,
file_lookup, lookup, state (what is here); check, add, promote, remove, obtain, identify (stories); service. Never
imported from here: faces, the fleet."""
