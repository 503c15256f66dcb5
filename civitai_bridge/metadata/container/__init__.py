"""Pictures and videos as containers: the texts inside PNG, JPEG, WebP, AVIF, GIF, TIFF, JPEG XL, MP4 and WebM.

Bytes in, texts out; never imports a format that says what the texts mean."""
