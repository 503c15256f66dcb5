# Each line is `python3 tools/dev.py NAME`, which is what to type without make.
PYTHON ?= python3

.PHONY: demo test check bench fire fire-catalog fire-link templates test-proxy test-comfyui test-browser bench-browser pictures
demo test check bench fire fire-catalog fire-link templates test-proxy test-comfyui test-browser bench-browser pictures:
	@$(PYTHON) tools/dev.py $@
