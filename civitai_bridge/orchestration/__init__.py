"""CivitAI's fleet: what a person asked becomes an order, a priced and reserved purchase, a workflow, pictures on disk.

`fleet` is the way in; `request`, `variants` and `body` make the order, `journal` keeps the purchases, `client` asks.
Never imported from here: ComfyUI, the command line, the routes, the sandbox."""
