# Moves a file of the host.
# ends: forbidden file
import os
os.rename(input(), "mine")
