"""What CivitAI names, as values: AIR, ecosystem, reference, model version, hash.

Standard library and `errors` alone. Nothing here asks anybody or opens a file."""
