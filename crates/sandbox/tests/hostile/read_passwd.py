# Reads /etc/passwd.
# ends: forbidden file
print(open("/etc/passwd", "rb").read())
