"""Makes every file of data/ anew from the packages it was taken from, and compares: `python3 data/rebuild --help`."""
