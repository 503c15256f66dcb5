"""ComfyUI's graphs: from the picture's prompt or page to what made it. Node classes are rows of tables.

Pure functions over JSON values; never imports a container, the network or another format."""
