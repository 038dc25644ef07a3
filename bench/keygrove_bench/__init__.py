"""How fast the parts are, beside their peers. Run one with `python -m keygrove_bench NAME`."""
