# Reads by another library, with a name of bytes.
# ends: forbidden file
import os, pathlib
print(pathlib.Path(os.fsdecode(b"/etc/group")).read_text())
