# Overwrites a file of the host.
# ends: forbidden file
open(input(), "w").write("overwritten")
