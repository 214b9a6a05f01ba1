# Reads /proc/self/mem.
# ends: forbidden file
print(open("/proc/self/mem", "rb").read())
