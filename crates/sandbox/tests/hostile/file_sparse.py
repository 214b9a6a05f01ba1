# Makes a file that seems huge.
# ends: quota
with open("sparse", "wb") as file:
    file.truncate(1 << 40)
