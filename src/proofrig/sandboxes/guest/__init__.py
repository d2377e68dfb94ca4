"""What runs inside the guest of a vm. Standard library only, Python 3.9 and newer.

The guest finds these files in a package of the same name, whose other parts are empty; see
`template.py` of the runner.
"""
