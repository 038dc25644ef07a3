"""The storage engine: commits, trees, starts and reads, beside other stores.

A module here has the measurements of some goals, as `rows(folder, quick=…)`; what has to have a
process of its own runs as `worker`. `measure` puts them together.
"""
