# Lists what is in /home and /root.
# ends: forbidden file
import os
print(os.listdir("/root"), os.listdir("/home"))
