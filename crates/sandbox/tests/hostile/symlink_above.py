# Reads through a relative link.
# ends: forbidden file
import os
os.symlink(".." + input(), "link")
print(open("link").read())
