# Reads /sys/kernel/notes.
# ends: forbidden file
print(open("/sys/kernel/notes", "rb").read())
