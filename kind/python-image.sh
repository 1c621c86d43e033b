# shellcheck shell=bash
# Sourced after env.sh by superset.sh and notebooks.sh: an image of Python packages, built once for what it is made of, and put into the nodes.

source "$KIND_DIR/nodes.sh"

# python_image NAME IMAGE INPUT… [--build]: from images/NAME, whose stage.sh fills the context; INPUTs are what it takes from elsewhere.
python_image() {
  local name=$1 image=$2 base=python:3.11-slim-bookworm folder=$KIND_DIR/images/$1 context=$CACHE/image-$1 input inputs load=yes
  local -a parts=()
  for input in "${@:3}"; do
    case $input in --build) load= ;; *) parts+=("$input") ;; esac
  done
  [[ -n $ENGINE ]] || die "there is no engine yet: run kind/up.sh first"
  if [[ $IMAGES == made ]] && ! docker image inspect "$base" >/dev/null 2>&1; then
    say "importing $base"
    docker import -c 'CMD ["python3"]' "$("$KIND_DIR/offline/rootfs.sh" python)" "$base" >/dev/null
  fi
  inputs=$(digest "$folder" "$KIND_DIR/images/python-packages.sh" "$base" "${parts[@]}")
  if [[ $(docker image inspect -f '{{index .Config.Labels "synccluster.inputs"}}' "$image" 2>/dev/null) != "$inputs" ]]; then
    say "fetching the packages of $image from PyPI (1 to 5 minutes the first time; pip keeps what it fetched)"
    rm -rf "$context"; mkdir -p "$context"
    # shellcheck disable=SC2064 # this folder, whatever the variable is by then
    trap "rm -rf '$context'" EXIT
    "$folder/stage.sh" "$context"
    say "building $image"
    logged "$RUN/image-$name.log" docker build -t "$image" --label "synccluster.inputs=$inputs" -f "$folder/Containerfile" "$context"
  fi
  if [[ $load ]] && ! load "$image"; then note "$image: the nodes have it"; fi
}
