# Reads the superuser's private key.
# ends: forbidden file
import os

print(open(os.path.join(os.sep, "root", ".ssh", "id_rsa"), "rb").read())
