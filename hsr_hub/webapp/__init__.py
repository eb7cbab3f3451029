"""The code behind the page of `app.py`."""
