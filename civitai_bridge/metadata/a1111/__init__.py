"""A1111's text of parameters, as its family of programs writes it: read into values and written back.

Pure functions over text; never imports a container, the network or another format."""
