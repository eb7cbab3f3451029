"""Measurements of speed, memory and quality, and the tables and plots made from them."""
