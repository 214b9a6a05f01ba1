# Starts a process by the library.
# ends: forbidden process
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=print)
process.start()
process.join()
