# Reads /etc/shadow.
# ends: forbidden file
print(open("/etc/shadow", "rb").read())
