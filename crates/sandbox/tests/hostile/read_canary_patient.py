# Reads a file of the host and hides that it cannot.
# ends: forbidden file
try:
    print(open(input()).read())
except Exception:
    print("nothing happened")
