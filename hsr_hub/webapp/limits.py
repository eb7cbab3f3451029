"""All limits of the page."""

from __future__ import annotations

# Uploads.
MAX_UPLOAD_MEGABYTES = 40
MAX_MEGAPIXELS = 24
"""What a good phone takes."""
MAX_UPLOAD_SIDE = 65_535
"""Longest side in pixels: that of a JPEG. To shrink a longer one to a thumbnail takes much memory,
and seconds in which the interpreter does nothing else."""
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
"""How long uploads and results are kept after they were last written. HSR_KEEP_MINUTES sets another
time. They are removed earlier when the app ends, or if the disk space is needed."""
SWEEP_SECONDS = 30
"""Time between two searches for outdated files."""
MAX_DISK_BYTES = 8 << 30
"""All files of a process. HSR_MAX_DISK_GB sets another number."""
MIN_KEEP_SECONDS = 600
"""If they need more, the oldest files are removed, but no younger ones than these."""
MIN_ADDRESS_BYTES = 1 << 30
"""What one network address may store in this time and in the one before, or half of
`MAX_DISK_BYTES`, if that is more. The largest result takes about as much."""
FILE_OVERHEAD = 8 << 10
"""Bytes that a file and its folder take besides the content."""

# HTTP.
MAX_JSON_BYTES = 256 << 10
"""A batch of `MAX_FILES` files is described in less than 200 KB."""
MAX_JSON_PARTS = 5000
"""Lists and objects in it, and values too in a message of MCP. Each takes hundreds of times the
memory of its two characters, and many of them make Python search all of its memory for garbage."""
MAX_TEXT = 4096
"""Characters of one text in it. Addresses and paths are the longest."""
MAX_FIELDS = 16
"""Fields of what describes a file."""
MAX_LISTED_FILES = 1000
"""Files in one request. From `MAX_FILES` on they are refused with a message."""
MAX_MCP_BYTES = 4 << 20
"""What the MCP library takes. A larger image is given by its address."""
MAX_MCP_CALLS = 24
"""MCP requests at a time. Each occupies one of the 40 threads that also serve files."""
MAX_MCP_CALLS_PER_ADDRESS = 8
MAX_MCP_IMAGE_BYTES = 4 << 20
"""Of a larger result, an assistant gets the address only."""
MAX_FIELD_BYTES = 64 << 10
"""A form field without a file, which Gradio holds in memory."""
MAX_UPLOAD_BYTES = 1 << 30
"""All files of one request."""
BODY_SECONDS = 30
"""Longest wait for a part of a request, and longest time for a whole JSON body."""
UPLOAD_SECONDS = 900
"""Longest time for a whole upload."""
HANG_UP_SECONDS = 6
"""A request whose caller has not listened for this time is cancelled."""
MAX_STREAMS_PER_ADDRESS = 256
"""Open streams of one network address. Each tab has two while it works."""
MAX_SESSION_NAME = 64
"""Characters of the name that a visitor's browser gives its session or an upload."""
MAX_UPLOADS_TRACKED = 256
"""Uploads whose progress is kept for who asks for it."""
MAX_SESSIONS = 256
"""Sessions whose state is kept. Of the address that has the most, the one that was not used for
longest is dropped."""
MAX_CONNECTIONS = 800
"""Open connections. Further ones are closed."""
MAX_CONNECTIONS_PER_ADDRESS = 400
"""The same for one network address that is not a proxy's."""
MIN_READ_BYTES = 16 << 10
"""What a connection must read of its answer in `IDLE_SECONDS`, if so much waits."""
MAX_MESSAGES = 1000
"""Messages of one session that nobody has read yet. Further ones are dropped."""
MAX_SESSION_MESSAGE_BYTES = 8 << 20
"""If more wait, messages between the first and the last one of a run are dropped."""
MAX_MESSAGE_BYTES = 128 << 20
"""The same for the messages of all sessions."""
LOG_LINES_PER_MINUTE = 20
"""Errors that clients cause."""
IDLE_SECONDS = 15
"""A connection that sends no complete request, or does not read its answer, is closed after once or
twice this time."""

# Requests.
MAX_WAITING_PER_ADDRESS = 16
"""Images that wait or are computed for one network address at a time."""
MAX_WAITING = 48
"""Images that wait or are computed for all visitors at a time."""
PLACES_FOR_NEWCOMERS = 12
"""More of them, for addresses that have nothing waiting. Otherwise three addresses could fill the
queue and shut out all others."""
OLDEST_EVERY = 4
"""Every how many turns the device takes the image that waits longest."""
SMALL_IMAGE_PIXELS = 1 << 18
"""Pixels of an image that may be computed between two tiles of a larger one: as many as a tile
has. Its result may have 16 times as many."""
SMALL_FILE_BYTES = 1 << 20
"""Bytes of a file that may contain one."""
MAX_CONCURRENT = 64
"""Requests that Gradio runs at once. Each of them can show its place in the device queue. More than
may wait, so that there is always one left to refuse further images."""
MAX_RECEIVING = 24
"""Uploads that Gradio hands over at once. They are decoded in turns."""
MAX_THREADS = 120
"""Gradio's threads: one for each of these, and others for the rest of the page."""
MAX_QUEUE = 32
"""Events that wait in Gradio's queue. Further ones are told to come back later."""
MAX_QUEUE_PER_ADDRESS = 8
"""The same for one network address. Otherwise one visitor could shut out all others."""
MAX_MIXED_MODELS = 4
"""Interpolated models that stay in memory."""

# Decoding of uploads, in processes of their own.
MAX_DECODES = 4
"""Files that are decoded at a time: two that were just uploaded, and two for the device."""
DECODE_SECONDS = 20
"""Limit for one file. 24 megapixels take 0.2 seconds as JPEG and 2 as 16-bit PNG, but the network
may use all cores at the same time."""
BASE_MEMORY = 1 << 28
"""Bytes for the file, its metadata and the libraries."""
MEMORY_PER_PIXEL = 32
"""Bytes. A rotated lossless WebP needs the most: at 24 megapixels, 27 bytes with all of the above.
AVIF needs 23, a rotated PNG or a 16-bit interlaced one 19, and a JPEG 15."""

# Images that are given by their address.
MAX_DOWNLOADS = 2
"""Downloads at a time. Each is held in memory."""
MAX_WAITING_DOWNLOADS = 8
"""Downloads that wait. Each holds one of `MAX_CONCURRENT` requests, so further ones are refused."""
DOWNLOAD_SECONDS = 30
"""Longest time for one download and the wait before it."""
