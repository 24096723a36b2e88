# SPDX-License-Identifier: MIT
# What the scripts that race whole programs share. They set $top (a directory of
# their own) and $root (where a root shall be) before; $holder is the process
# that hold_namespace leaves behind, and theirs to kill.

make_root()
{
	local name

	mkdir -p "$root"/{bin,dev,etc,proc,run,sys,tmp}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for name in sh true cat sleep; do
		ln -s busybox "$root/bin/$name"
	done
	if ldd "$root/bin/busybox" >/dev/null 2>&1; then
		echo "bench: busybox is dynamic; install busybox-static" >&2
		exit 1
	fi
}

# make_bundle RUNTIME CMD...: an OCI bundle around the same root.
make_bundle()
{
	mkdir -p "$top/bundle-$1"
	(cd "$top/bundle-$1" && "$1" spec)
	/usr/bin/python3 - "$top/bundle-$1/config.json" "$root" "${@:2}" <<-'END'
	import json, sys
	path, root = sys.argv[1:3]
	spec = json.load(open(path))
	spec["process"]["terminal"] = False
	spec["process"]["args"] = sys.argv[3:]
	spec["root"] = {"path": root, "readonly": True}
	json.dump(spec, open(path, "w"))
	END
}

# crun 1.8 refuses a machine with both kinds of cgroups. It gets a mount
# namespace without the second kind, made once, out of what is measured.
hold_namespace()
{
	mkfifo "$top/ready"
	unshare -m sh -c '
		mount --make-rprivate / || exit 1
		! mountpoint -q /sys/fs/cgroup/unified ||
			umount /sys/fs/cgroup/unified || exit 1
		echo yes >"$1"
		exec sleep 3600' sh "$top/ready" &
	holder=$!
	[ "$(timeout 10 cat "$top/ready")" = yes ]
}

peers=()
# add NAME [@WORD...] CMD [ARG...]
add()
{
	[ ${#peers[@]} = 0 ] || peers+=(:::)
	peers+=("$@")
}

# need NAME PROGRAM [root]: 0 when it can be measured, else adds a skip row.
need()
{
	if ! command -v "$2" >/dev/null; then
		add "$1" @skip "there is no $2"
	elif [ "${3-}" = root ] && [ "$(id -u)" != 0 ]; then
		add "$1" @skip "needs root"
	else
		return 0
	fi
	return 1
}
