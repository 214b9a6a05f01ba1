# Imports a module of the host.
# ends: exception
import os, sys
sys.path.insert(0, os.path.dirname(input()))
import canary
print(canary.SECRET)
