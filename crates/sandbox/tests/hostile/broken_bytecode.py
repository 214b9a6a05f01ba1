# Runs instructions that make no sense.
# ends: killed
def f():
    pass
f.__code__ = f.__code__.replace(co_code=bytes([100, 255] * 8), co_consts=())
for _ in range(100):
    f()
