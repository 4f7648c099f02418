"""A report to look at: figures of a shot's depth and its errors, and the numbers, in one page that needs no network."""
