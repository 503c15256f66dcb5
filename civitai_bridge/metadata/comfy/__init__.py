"""ComfyUI's graphs: from the prompt that ran, or the page as it was drawn, to what made the picture. Node classes are
rows of `nodes.json`; a graph is frozen, and what reads it are functions (start at `reader`).
Never imports a container, the network or another format."""
