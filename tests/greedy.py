"""Programs that take more than they may have."""

# Opens files until it may have no more, and stays a while.
OPENS = """
import time
opened = []
try:
    while True: opened.append(open('/dev/null'))
finally:
    time.sleep(1)
"""
