# Fails with an endless message.
# ends: output
raise ValueError("x" * (1 << 25))
