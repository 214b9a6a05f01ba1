# Loads compiled code by a module's machinery.
# ends: forbidden file
import importlib.machinery
importlib.machinery.ExtensionFileLoader("x", "/usr/lib/evil.so").create_module(
    importlib.machinery.ModuleSpec("x", None, origin="/usr/lib/evil.so"))
