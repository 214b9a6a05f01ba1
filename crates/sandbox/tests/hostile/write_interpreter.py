# Overwrites the interpreter's library.
# ends: forbidden file
import os
open(os.__file__, "a").write("print('owned')")
