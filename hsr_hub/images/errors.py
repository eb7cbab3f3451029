"""The error and the warning of this package."""


class ImageError(ValueError):
    """An image cannot be read or written; the message names it, the reason and the fix."""


class ImageWarning(UserWarning):
    """An image was read with a loss: converted to RGB, or only the first of several frames."""
