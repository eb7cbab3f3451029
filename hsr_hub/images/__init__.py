"""Images as files and as pixels: reading, writing, metadata, 16 bits."""
