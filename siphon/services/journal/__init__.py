"""The journal of the location table: a file that outlives a reboot (docs/location-journal.md).

`frames` is the format, `reading` goes through a file whatever is in it, `file` keeps one open, `copy` has an account of
what is in one, `keeper` follows the table and compacts. What the values mean is not known here:
`siphon/services/location/restore.py` puts them into a table.
"""
