"""Picture files as containers: the texts inside PNG, JPEG, WebP and AVIF, without decoding a picture.

Bytes in, texts out; never imports a format that says what the texts mean."""
