set -e
export PGDATA=/var/lib/postgresql/data/server
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  initdb --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --username="$POSTGRES_USER" --pwfile=/tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  rm /tmp/password
  pg_ctl -w -o "-c listen_addresses=" start
  PGPASSWORD=$POSTGRES_PASSWORD createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl -w stop
fi
[ "$1" = postgres ] || set -- postgres "$@"
exec "$@"
