"""Where every claim of speed is made again, with one command each: `python -m bench NAME`."""
