# Reads above its folder.
# ends: forbidden file
print(open("../../../../etc/hostname").read())
