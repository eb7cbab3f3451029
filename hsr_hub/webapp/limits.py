"""All limits of the page."""

from __future__ import annotations

# Uploads.
MAX_UPLOAD_MEGABYTES = 40
MAX_MEGAPIXELS = 24
"""What a good phone takes."""
MAX_FILES = 100
"""Files in one batch."""
MAX_NAME_LENGTH = 255
"""Characters of an upload's name that are kept."""

# Results.
MIN_SCALE, MAX_SCALE = 0.25, 8
MAX_RESULT_MEGAPIXELS = 64
"""Bounds memory, time, and the work of the visitor's browser."""
MAX_SIDE = 16_000
"""Longest side in pixels. Browsers and WebP fail a little above it."""

# Files on disk.
KEEP_SECONDS = 3600
"""How long uploads and results are kept after their last use."""
SWEEP_SECONDS = 600
"""Time between two searches for outdated files."""

# Requests.
MAX_CONCURRENT = 32
"""Requests that Gradio runs at once. Each of them can show its place in the device queue."""
MAX_THREADS = 64
"""Gradio's threads: one for each of these, and others for the rest of the page."""
MAX_QUEUE = 32
"""Events that wait in Gradio's queue. Further ones are told to come back later."""
MAX_MIXED_MODELS = 4
"""Interpolated models that stay in memory."""

# Images that are given by their address.
MAX_DOWNLOADS = 2
"""Downloads at a time. Each is held in memory."""
DOWNLOAD_SECONDS = 30
"""Longest time for one download."""
