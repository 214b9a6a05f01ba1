# Reads through a link.
# ends: forbidden file
import os
os.symlink(input(), "link")
print(open("link").read())
