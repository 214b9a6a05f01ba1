# Reads /dev/mem.
# ends: forbidden file
print(open("/dev/mem", "rb").read())
