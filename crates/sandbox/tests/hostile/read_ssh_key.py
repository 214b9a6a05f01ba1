# Reads /root/.ssh/id_rsa.
# ends: forbidden file
print(open("/root/.ssh/id_rsa", "rb").read())
