"""Leaf modules of `train_accelerate.py`; they import neither accelerate nor each other."""
