"""Other tools' commands, option by option: Big Sleep, Deep Daze, nerdyrodent's generate.py and the 2021 notebook.

Each tool is a table of options, and a function that turns the options of a command into a `Plan`: settings, and the
files that the tool would have written. Only `big_sleep` and `deep_daze` need torch.
"""
