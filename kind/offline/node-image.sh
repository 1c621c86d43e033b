#!/usr/bin/env bash
# Makes what `kindest/node` is on a machine with a registry: Debian, containerd, Kubernetes and kind's own files, with the images
# of the control plane in containerd's store. Prints the image's name on the last line.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

here=$KIND_DIR/offline
binaries=$("$here/kubernetes.sh")
rootfs_tar=$("$here/rootfs.sh" node)
kind_files=$(go mod download -json "sigs.k8s.io/kind@$KIND_VERSION" | jq -r .Dir)/images/base/files
base=synccluster/node-base:$(digest "$binaries" "$rootfs_tar" "$KIND_VERSION" "$here/node/Containerfile.images" "$here/node/pause.c" \
  "$here/node/synccluster-preload.service" "$here/node-image.sh" "$here/control-plane-images.sh")

# lay_out ROOT: kind's files and Kubernetes over Debian, as kind's own Dockerfile does.
lay_out() {
  local root=$1 unit
  cp -r --no-preserve=mode,ownership "$kind_files"/{etc,kind} "$root/"
  cp --no-preserve=mode,ownership "$kind_files"/usr/local/bin/* "$root/usr/local/bin/"
  chmod 0755 "$root"/kind "$root"/kind/bin{,/*} "$root"/usr/local/bin/*
  mkdir -p "$root"/{etc/kubernetes/manifests,etc/cni/net.d,opt/cni/bin,kind/images,kind/manifests}
  cp "$root"/usr/lib/cni/* "$root/opt/cni/bin/"
  cp "$binaries"/{kubelet,kubeadm,kubectl} "$root/usr/bin/"
  echo "$KUBERNETES_VERSION" >"$root/kind/version"

  # A container boots no hardware: of Debian's units only what kind enables stays.
  (cd "$root" && rm -f lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
    lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* etc/systemd/system/*.wants/* \
    lib/systemd/system/sockets.target.wants/*{udev,initctl}*)
  echo "ReadKMsg=no" >>"$root/etc/systemd/journald.conf"
  ln -sfn /usr/lib/systemd/systemd "$root/sbin/init"
  for unit in containerd ctr containerd-shim-runc-v2; do ln -sfn "/usr/bin/$unit" "$root/usr/local/bin/$unit"; done
  cp "$here/node/synccluster-preload.service" "$root/etc/systemd/system/"
  chroot "$root" systemctl -q enable kubelet containerd undo-mount-hacks synccluster-preload
  chroot "$root" systemctl -q mask systemd-binfmt

  # On a machine without CAP_SYS_RESOURCE no score can be lowered, and limits cannot be raised; hugetlb may be missing on cgroup v1.
  local pause; pause=$("$binaries/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION" | grep /pause:)
  sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' -e "s#registry.k8s.io/pause:[0-9.]*#$pause#" \
    -e 's/\( *\)tolerate_missing_hugepages_controller = true/&\n\1tolerate_missing_hugetlb_controller = true/' "$root/etc/containerd/config.toml"
  chroot "$root" ctr oci spec \
    | jq '.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' >"$root/etc/containerd/cri-base.json"
}

# preload ROOT SCRATCH TAR: with a containerd of the machine that works on the node's store. Layers are unpacked on the node, at first use.
preload() {
  local root=$1 scratch=$2 tar=$3 socket=$2/containerd.sock
  cat >"$scratch/containerd.toml" <<TOML
version = 2
root = "$root/var/lib/containerd"
state = "$scratch/state"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "$socket"
TOML
  containerd --config "$scratch/containerd.toml" >"$scratch/containerd.log" 2>&1 &
  local pid=$! tries
  for ((tries = 0; tries < 100; tries++)); do ctr -a "$socket" version >/dev/null 2>&1 && break; sleep 0.1; done
  ctr -a "$socket" -n k8s.io images import --no-unpack "$tar" >/dev/null || { kill "$pid"; die "cannot preload the node's images: $scratch/containerd.log"; }
  kill "$pid"
  wait "$pid" || true
}

if ! docker image inspect "$base" >/dev/null 2>&1; then
  say "assembling the node image (about a minute the first time)" >&2
  scratch=$CACHE/node
  rm -rf "$scratch"; mkdir -p "$scratch/root"
  tar -C "$scratch/root" --numeric-owner -xf "$rootfs_tar"
  lay_out "$scratch/root"
  "$here/control-plane-images.sh" "$scratch/root" "$binaries" "$scratch" "$scratch/images.tar"
  preload "$scratch/root" "$scratch" "$scratch/images.tar"
  tar -C "$scratch/root" --numeric-owner -c . | docker import - "$base" >/dev/null
  rm -rf "$scratch"
fi

# The thin layer. Its name follows its content, so that a running cluster can be told from a stale one.
context=$CACHE/node-layer
mkdir -p "$context"
network=$("$here/network-image.sh")
if [[ ! -e $context/network.tar || $(cat "$context/network.id" 2>/dev/null) != "$network" ]]; then
  docker save -o "$context/network.tar" synccluster/kind-network:dev
  echo "$network" >"$context/network.id"
fi
cp "$here/node/default-cni.yaml" "$context/"
sed "s/@LOCAL_PATH_PROVISIONER_VERSION@/$LOCAL_PATH_PROVISIONER_VERSION/" "$here/node/default-storage.yaml" >"$context/default-storage.yaml"
image=synccluster/node:$KUBERNETES_VERSION-$(digest "$base" "$network" "$context"/default-*.yaml "$here/node/Containerfile.node")
docker image inspect "$image" >/dev/null 2>&1 \
  || docker build -q -t "$image" --build-arg "BASE=$base" -f "$here/node/Containerfile.node" "$context" >/dev/null

# What older inputs left behind, a gigabyte each. Images that containers use are kept by the engine.
if [[ $ENGINE == own ]]; then
  docker images --format '{{.Repository}}:{{.Tag}}' --filter 'reference=synccluster/node*' \
    | grep -vxF -e "$base" -e "$image" | xargs -r docker rmi >/dev/null 2>&1 || true
  docker image prune -f >/dev/null
fi
echo "$image"
