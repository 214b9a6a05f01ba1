# Takes all memory at once.
# ends: memory
print(len("a" * 10**12))
