"""What stands behind the page of `app.py`: pictures, turns, time, weights, files. No Gradio."""
