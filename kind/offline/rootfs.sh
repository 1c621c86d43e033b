#!/usr/bin/env bash
# Makes a Debian root file system with mmdebstrap and prints the path of its tar file. Built once for a list of packages.
#
#   kind/offline/rootfs.sh base        what Containerfiles start FROM (about 20 s)
#   kind/offline/rootfs.sh node        a kind node: systemd, containerd, CNI plugins, nftables (about 2 minutes)
#   kind/offline/rootfs.sh postgres    PostgreSQL in the layout of the official image (about half a minute)
#   kind/offline/rootfs.sh clickhouse  ClickHouse as Debian has it (about a minute)
#   kind/offline/rootfs.sh python      Python 3.11, what the image of Superset starts FROM (about 20 s)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

name=${1:?which root file system: base, node, postgres, clickhouse or python}
slim=()
for path in doc man info locale lintian bug; do slim+=("--dpkgopt=path-exclude=/usr/share/$path/*"); done
options=(--variant=minbase --mode=root --format=tar "${slim[@]}")

case $name in
  base)
    suite=$BASE_SUITE packages=(ca-certificates) about="20 seconds" ;;
  node)
    suite=$NODE_SUITE about="2 minutes"
    packages=(systemd conntrack iptables nftables ebtables iproute2 ethtool util-linux mount kmod libseccomp2 pigz socat e2fsprogs
      bash ca-certificates curl jq procps containerd runc containernetworking-plugins hostname findutils libcap2-bin) ;;
  postgres)
    suite=$BASE_SUITE packages=("postgresql-$POSTGRES_VERSION" ca-certificates) about="half a minute"
    # The official image's uid and gid, made before Debian's package would take the next free ones; and no cluster of Debian's own.
    # Hooks run outside the new root, as root: never write below /var/run or /var/lock in them. Those are absolute links, so "$1/var/run/x"
    # is /run/x of this machine. Such folders are made in the Containerfile.
    # shellcheck disable=SC2016 # $1 is mmdebstrap's, in the hook
    options+=(
      --essential-hook='echo "postgres:x:999:" >> "$1/etc/group"'
      --essential-hook='echo "postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/bash" >> "$1/etc/passwd"'
      --essential-hook='mkdir -p "$1/etc/postgresql-common" && echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
      # Without LLVM there is no JIT (PostgreSQL notices) and the image is half the size.
      --customize-hook='rm -rf "$1"/usr/lib/*/libLLVM* "$1"/usr/lib/llvm-* "$1"/usr/lib/postgresql/*/lib/llvmjit* "$1"/usr/lib/postgresql/*/lib/bitcode'
      --customize-hook='rm -rf "$1"/usr/share/perl "$1"/usr/lib/*/perl "$1"/var/lib/postgresql/* "$1"/var/cache/debconf/*'
      --customize-hook='install -d -o 999 -g 999 -m 0700 "$1/var/lib/postgresql/data"'
    ) ;;
  clickhouse)
    # The same that the tests run as a plain process: later suites may not have it.
    suite=$NODE_SUITE packages=(clickhouse-server clickhouse-client ca-certificates tzdata) about="a minute"
    # shellcheck disable=SC2016 # $1 is mmdebstrap's, in the hook
    options+=(
      --essential-hook='echo "clickhouse:x:101:" >> "$1/etc/group"'
      --essential-hook='echo "clickhouse:x:101:101:ClickHouse:/var/lib/clickhouse:/bin/false" >> "$1/etc/passwd"'
      --customize-hook='rm -rf "$1"/usr/share/perl "$1"/usr/lib/*/perl "$1"/var/cache/debconf/* "$1"/var/lib/clickhouse/* "$1"/var/log/*'
    ) ;;
  python)
    # Of all Pythons Superset's pandas and numpy are built for, the one a Debian has.
    suite=bookworm packages=(python3 ca-certificates) about="20 seconds" ;;
  *) die "no such root file system: $name" ;;
esac

tar=$CACHE/rootfs/$name-$(digest "$suite" "${packages[*]}" "${options[*]}").tar
if [[ ! -e $tar ]]; then
  mkdir -p "$CACHE/rootfs"
  say "making the root file system '$name' from Debian $suite (about $about the first time)" >&2
  # shellcheck disable=SC2016 # $1 is mmdebstrap's
  logged "$CACHE/rootfs/$name.log" mmdebstrap "${options[@]}" \
    --include="$(IFS=,; echo "${packages[*]}")" --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    "$suite" "$tar.part"
  mv "$tar.part" "$tar"
fi
echo "$tar"
