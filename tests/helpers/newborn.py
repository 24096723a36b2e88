# SPDX-License-Identifier: MIT
# newborn.py FILE: until FILE exists, try to read and write the memory of every
# process that appears while it is still davit, and to see its descriptors. One
# line for each that was open to that; at the end "done".
import os
import sys

pid = os.getpid()
n = 0
while True:
	n += 1
	if n % 16 == 0:
		with open("/proc/loadavg") as f:
			pid = max(pid, int(f.read().split()[4]))
		if os.path.exists(sys.argv[1]):
			break
	for p in range(pid, pid + 3):
		try:
			if not os.readlink("/proc/%d/exe" % p).endswith("/davit"):
				continue
			os.close(os.open("/proc/%d/mem" % p, os.O_RDWR))
			print("open:", p, os.listdir("/proc/%d/fd" % p), flush=True)
		except OSError:
			pass
print("done", flush=True)
