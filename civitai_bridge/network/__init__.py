"""What opens a socket: the HTTP client, what is fetched without a key, repeats, and the one background loop.

Knows neither what CivitAI's answers mean nor ComfyUI; `settings` says where it may go, and nothing else does."""
