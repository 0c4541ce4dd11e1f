#!/bin/sh
# Installs the module by DKMS as docs/kernel-module.md says, uses it, and removes it again.
# Prints `ok …` or `FAIL …` for each thing that is checked, and what is merely to be known behind `#`.
#
#     guest.sh SOURCES VERSION DIGEST

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
sources=$1 version=$2 digest=$3
release=$(uname -r)
module=cairn/$version
modules=/lib/modules/$release
said=/tmp/said
status=0

ok() {
	echo "ok $*"
}

# What the last command said goes along.
fail() {
	echo "FAIL $*"
	tail -n 40 "$said" | sed 's/^/#   /'
	status=1
}

# check WHAT COMMAND…: that the command succeeds.
check() {
	what=$1
	shift
	if "$@" >"$said" 2>&1; then ok "$what"; else fail "$what: exit code $?"; fi
}

# How somebody says that he is displeased.
complaint='warning|error|deprecated|fail|invalid|conflict|cannot|not found|bad '

# Let pass: the suite's compiler and pahole may be later builds than those that the kernel was made with.
harmless='(the compiler|pahole version) differs from the one used to build the kernel'

# quiet WHAT FILE: that nobody is displeased in it.
quiet() {
	grep -i -E "$complaint" "$2" | grep -E "$harmless" | sed 's/^/# let pass: /'
	if grep -i -E "$complaint" "$2" | grep -v -E "$harmless" >"$said"; then fail "$1"; else ok "$1"; fi
}

# That DKMS knows the module as installed for the running kernel.
installed() {
	dkms status "$module" >"$said" 2>&1
	sed 's/^/#   /' "$said"
	what="dkms status: installed for $release"
	if grep "$release" "$said" | grep -q ': installed$'; then ok "$what"; else fail "$what"; fi
}

# What there is of modules, but for depmod's own lists.
listing() {
	find /lib/modules/ ! -name 'modules.*' | sort
}

echo "# $(. /etc/os-release; echo "$PRETTY_NAME"), dkms $(dpkg-query -W -f '${Version}' dkms)"
listing >/tmp/before
cp -r "$sources" "/usr/src/cairn-$version"

echo "# dkms install builds the module; in an emulated guest this takes a few minutes"
begun=$(date +%s)
if ! dkms install "$module" >/tmp/install 2>&1; then
	find /var/lib/dkms/cairn -name make.log -exec cat {} + | cat /tmp/install - >"$said"
	fail "dkms install $module"
	exit 1
fi
ok "dkms install $module"
echo "# it took $(($(date +%s) - begun)) s and said:"
sed 's/^/#   /' /tmp/install
quiet "dkms install has no complaint" /tmp/install
log=$(find /var/lib/dkms/cairn -name make.log)
if [ -n "$log" ]; then quiet "the build has no complaint" "$log"; else fail "the build left a log"; fi
grep '^# \|command:' "$log" | sed 's/^/# /'

installed

check "modprobe finds the installed one" sh -c "modinfo -n cairn | grep '^$modules/updates/dkms/cairn\.ko'"
echo "#   $(cat "$said"), signed by: $(modinfo -F signer cairn 2>&1 | grep . || echo nobody)"
check "modprobe cairn" modprobe cairn
check "/dev/cairn is there" test -c /dev/cairn
cairn about >/tmp/about 2>&1
sed 's/^/#   /' /tmp/about
check "the module answers" grep '^module ' /tmp/about
check "it was built from the sources that went in" grep "sources: *$digest\$" /tmp/about
check "rmmod cairn" rmmod cairn
check "/dev/cairn is gone" test ! -e /dev/cairn

# What happens to it when another kernel is installed, but that it is built already.
check "dkms uninstall $module" dkms uninstall "$module" -k "$release"
check "dkms autoinstall" dkms autoinstall
installed

check "dkms remove $module --all" dkms remove "$module" --all
sed 's/^/#   /' "$said"
dkms status "$module" >"$said" 2>&1
if [ -s "$said" ]; then fail "dkms status: nothing"; else ok "dkms status: nothing"; fi
listing >/tmp/after
if diff /tmp/before /tmp/after >"$said"; then
	ok "nothing is left in /lib/modules"
else
	fail "nothing is left in /lib/modules"
fi
check "modprobe finds none" sh -c '! modprobe -n -q cairn'
find /var/lib/dkms /usr/src -maxdepth 1 \( -name '*cairn*' -o -name 'mok.*' \) | sed 's/^/# left: /'
exit $status
