#!/bin/bash
# Makes the database when there is none, brings its roles up to date, then becomes postgres with the arguments of this script.
set -euo pipefail
umask 0077

config=$(dirname "$0")
mkdir -p "$(dirname "$PGDATA")"

# A crash before the last line leaves no PGDATA, and what it leaves is wiped by the next start.
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.new"
    initdb --pgdata="$PGDATA.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=peer --auth-host=scram-sha-256
    mv -T "$PGDATA.new" "$PGDATA"
fi

# From version 18 on, origins are no longer counted among max_replication_slots.
if [ "$(cat "$PGDATA/PG_VERSION")" -ge 18 ]; then
    set -- "$@" -c "max_active_replication_origins=$MAX_REPLICATION_ORIGINS"
fi

# Up for nobody but this script. A statement that fails is not logged, because it may hold a password.
postgres "$@" -c listen_addresses= -c log_min_error_statement=panic &
server=$!
trap 'kill -INT $server; wait $server; exit 143' TERM INT
until pg_isready --quiet --host=/var/run/postgresql; do
    kill -0 $server || { wait $server; exit 1; }
    sleep 0.2
done
as_postgres=(psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host=/var/run/postgresql --username=postgres)
"${as_postgres[@]}" --dbname=postgres <<'SQL'
select 'create database app' where not exists (select from pg_database where datname = 'app') \gexec
SQL
"${as_postgres[@]}" --dbname=app --file="$config/bootstrap.sql"
kill -INT $server
wait $server
trap - TERM INT

exec postgres "$@"
