# Walks over all files.
# ends: forbidden file
import os
print([file for _, _, files in os.walk("/") for file in files if "canary" in file])
