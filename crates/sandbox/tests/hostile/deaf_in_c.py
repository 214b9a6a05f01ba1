# Computes in one call that no signal handler interrupts.
# ends: time
print(len(str(7 ** 10**9)))
