# Asks a shell by the C library.
# ends: forbidden process
import os
print(os.system("cat /etc/passwd"))
