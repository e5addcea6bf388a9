"""How figures look, and those that are not the paper's: they draw results and compute none.

matplotlib is loaded only when something is drawn.
"""
