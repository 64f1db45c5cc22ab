"""The commands of ``car``, one file for each group; ``app.py`` holds the table of them."""
