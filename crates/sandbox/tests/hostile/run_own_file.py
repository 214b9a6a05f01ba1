# Makes a file executable and starts it.
# ends: forbidden process
import os
open("script", "w").write("#!/python/bin/python3\nprint(1)\n")
os.chmod("script", 0o777)
os.execv("/box/script", ["script"])
