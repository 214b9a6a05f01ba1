# Reads /proc/sys/kernel/core_pattern.
# ends: forbidden file
print(open("/proc/sys/kernel/core_pattern", "rb").read())
