"""Other tools' commands, option by option: Big Sleep, Deep Daze, nerdyrodent's generate.py and the 2021 notebook.

Each tool is a table of options and a function from what a person typed to a `Plan`: settings, and the files that the
tool would have written. Nothing here but `big_sleep` and `deep_daze` needs torch.
"""
