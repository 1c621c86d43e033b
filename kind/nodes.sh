# shellcheck shell=bash
# Sourced after env.sh by what puts images into the cluster's nodes.

# node_has NODE IMAGE ID: containerd lists an image by its name and by its id; both have to point at the same content.
node_has() {
  docker exec "$1" ctr -n k8s.io images ls \
    | awk -v name="docker.io/$2" -v id="$3" '$1 == name {a = $3} $1 == id {b = $3} END {exit !(a != "" && a == b)}'
}

# load IMAGE: into every node that lacks it. Succeeds when there was something to load.
load() {
  local image=$1 id node lacking=()
  id=$(docker image inspect -f '{{.Id}}' "$image")
  for node in $(kind get nodes --name "$CLUSTER_NAME"); do node_has "$node" "$image" "$id" || lacking+=("$node"); done
  ((${#lacking[@]})) || return 1
  say "loading $image into the nodes"
  logged "$RUN/load.log" kind load docker-image "$image" --name "$CLUSTER_NAME" --nodes "$(IFS=,; echo "${lacking[*]}")"
}
