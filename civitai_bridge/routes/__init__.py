"""The HTTP routes on plain aiohttp: `table` (what there is, and its answers), `access` (who may ask), `image_answer`.

A face: it starts from what app.py put together. Nothing below imports from here."""
