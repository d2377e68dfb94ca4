"""Lines of comma-separated values."""


def fields(line):
    """The fields of a line. A field in double quotes may hold commas, and a doubled quote in it
    stands for one."""
    found, quoted = [""], False
    for sign in line:
        if sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            found.append("")
        else:
            found[-1] += sign
    return found
