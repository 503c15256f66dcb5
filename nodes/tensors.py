"""Arrays <-> IMAGE and MASK. The only file that knows torch, inside its functions."""

from __future__ import annotations

from typing import Any

from ..civitai_bridge.errors import NotAPicture
from ..civitai_bridge.pictures import write_png


def to_tensor(array: Any) -> Any:
    """A float32 array as a tensor on the same memory: images [B, H, W, 3], masks [B, H, W]."""
    import torch

    return torch.from_numpy(array)


def png_of_image(image: Any) -> bytes:
    """The first picture of an IMAGE [B, H, W, 3 or 4] as PNG. Raises NotAPicture for another shape."""
    if getattr(image, "ndim", 0) != 4 or image.shape[0] < 1:
        raise NotAPicture(f"`image` is no IMAGE: its shape is {tuple(getattr(image, 'shape', ()))}.")
    return write_png(image[0].detach().cpu().float().numpy())


def png_of_mask(mask: Any) -> bytes:
    """The first mask of a MASK [B, H, W] or [H, W] as a grey PNG: white is what may change."""
    plain = mask.detach().cpu().float()
    if plain.ndim == 3:
        plain = plain[0]
    if plain.ndim != 2:
        raise NotAPicture(f"`mask` is no MASK: its shape is {tuple(mask.shape)}.")
    return write_png(plain.numpy()[..., None])
