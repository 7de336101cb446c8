"""audit: what did my image classifier really look at, and what is in my dataset that nobody labelled?"""

__version__ = "0.1.0"
