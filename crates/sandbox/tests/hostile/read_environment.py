# Reads /proc/1/environ.
# ends: forbidden file
print(open("/proc/1/environ", "rb").read())
