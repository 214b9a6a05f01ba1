# Links a file of the interpreter into its folder.
# ends: forbidden file
import os
os.link(os.__file__, "os_copy.py")
print(open("os_copy.py", "a").write("x"))
