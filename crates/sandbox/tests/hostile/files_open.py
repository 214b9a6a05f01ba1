# Opens files for ever.
# ends: quota
files = []
while True:
    files.append(open("/dev/null"))
