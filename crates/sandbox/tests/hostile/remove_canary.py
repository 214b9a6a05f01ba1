# Removes a file of the host.
# ends: forbidden file
import os
os.remove(input())
