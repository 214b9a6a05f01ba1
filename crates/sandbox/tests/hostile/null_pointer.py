# Reads where nothing is.
# ends: killed
import ctypes
ctypes.string_at(0)
