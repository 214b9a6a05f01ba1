# Reads /dev/vda.
# ends: forbidden file
print(open("/dev/vda", "rb").read())
