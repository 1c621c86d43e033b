#!/usr/bin/env bash
# Builds the images kubeadm and kind expect on a node, under the names they expect, and saves them into one tar file.
#
#   kind/offline/control-plane-images.sh NODE_ROOTFS BINARIES SCRATCH_FOLDER TAR
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"
rootfs=$1 binaries=$2 scratch=$3 tar=$4

context=$scratch/images
mkdir -p "$context/bin" "$context/nettools"
names=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd coredns local-path-provisioner)
for name in "${names[@]}"; do ln -f "$binaries/$name" "$context/bin/" 2>/dev/null || cp "$binaries/$name" "$context/bin/"; done
gcc -Os -static -s -o "$context/bin/pause" "$KIND_DIR/offline/node/pause.c"

# copy_program PATH: with the libraries it is linked to, at the same paths.
copy_program() {
  local path
  for path in "$1" $(chroot "$rootfs" ldd "$1" | grep -o '/[^ ]*'); do
    install -D "$rootfs$(chroot "$rootfs" realpath "$path")" "$context/nettools$path"
  done
}
for program in /bin/dash /bin/mkdir /bin/rm /bin/cat /bin/sleep /usr/sbin/ip /usr/sbin/nft /usr/sbin/conntrack /usr/sbin/xtables-nft-multi; do
  copy_program "$program"
done
# What a Rust binary is linked to besides libc.
copy_program /lib/x86_64-linux-gnu/libgcc_s.so.1
copy_program /lib/x86_64-linux-gnu/libm.so.6
# iptables loads its extensions by name; which of the nft front ends it is, it learns from the name it is called by.
mkdir -p "$context/nettools/usr/lib/x86_64-linux-gnu" "$context/nettools/tmp" "$context/nettools/run"
cp -r "$rootfs/usr/lib/x86_64-linux-gnu/xtables" "$context/nettools/usr/lib/x86_64-linux-gnu/"
for family in iptables ip6tables; do
  for verb in "" -save -restore; do ln -sf xtables-nft-multi "$context/nettools/usr/sbin/$family$verb"; done
done
ln -sf dash "$context/nettools/bin/sh"

build() {
  docker build -q -t "$2" --target "$1" -f "$KIND_DIR/offline/node/Containerfile.images" "$context" >/dev/null
  images+=("$2")
}
images=()
while read -r image; do
  name=${image##*/}
  build "${name%%:*}" "$image"
done < <("$binaries/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION")
build local-path-provisioner "synccluster/local-path-provisioner:$LOCAL_PATH_PROVISIONER_VERSION"
build nettools synccluster/nettools:dev
docker save -o "$tar" "${images[@]}"
