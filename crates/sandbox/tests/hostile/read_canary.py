# Reads a file of the host.
# ends: forbidden file
print(open(input()).read())
