# Sourced: builds test programs, then runs them as they are and not by cargo, which waits while another cargo builds beside.

# build_programs --exclude synccluster-e2e --test conflicts --test races: what they are is in $programs, a line for each: name, folder of the
# package, file. Two packages may have one of the same name.
build_programs() {
  programs=$(cargo test --quiet --locked --workspace "$@" --no-run --message-format=json-render-diagnostics \
    | jq -r 'select(.executable != null and .profile.test and .target.kind == ["test"]) | [.target.name, (.manifest_path | rtrimstr("/Cargo.toml")), .executable] | @tsv')
  export programs
}

# run_program conflicts --test-threads 2: all of this name.
run_program() {
  local wanted=$1 name folder program
  shift
  while IFS=$'\t' read -r name folder program; do
    [[ $name != "$wanted" ]] || (cd "$folder" && CARGO_MANIFEST_DIR=$folder "$program" "$@") || return 1
  done <<<"$programs"
}
export -f run_program
