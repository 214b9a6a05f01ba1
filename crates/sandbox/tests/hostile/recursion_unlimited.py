# Recurses without end and without the interpreter's limit.
# ends: memory
import sys
sys.setrecursionlimit(10**9)
def down(kept):
    return down(bytes(1 << 16)) + kept
down(b"")
