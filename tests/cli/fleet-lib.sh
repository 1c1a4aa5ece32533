# shellcheck shell=sh disable=SC2154,SC2034 # tmp and run_line are lib.sh's
# For the tests of commands on PostgreSQL, after lib.sh, under with-postgres.
#
#	sql TEXT                      the rows that it gives, plainly
#	fresh                         a database of its own, without tables; its
#	                              url is $url, and WEIR_DB
#	plain                         the last run, with SOCKETS for the folder

: "${WEIR_TEST_PG_URL:?is made by with-postgres}"
sockets=$(printf '%s' "$WEIR_TEST_PG" | sed 's/.*host=\([^ ]*\).*/\1/')
coded_sockets=$(printf %s "$sockets" | sed 's,/,%2F,g')
databases=0
database=postgres

sql() {
	psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$sockets" -U postgres \
		"$database" -c "$1"
}

fresh() {
	databases=$((databases + 1))
	database=postgres
	sql "CREATE DATABASE weir_$databases"
	database=weir_$databases
	url=${WEIR_TEST_PG_URL%/postgres}/$database
	export WEIR_DB="$url"
}

# What is printed, with what differs from run to run in words.
plain() {
	for plain_file in "$out" "$err"; do
		sed -e "s,$coded_sockets,SOCKETS,g" -e "s,$sockets,SOCKETS,g" \
			"$plain_file" >"$tmp/.plain"
		cp "$tmp/.plain" "$plain_file"
	done
	run_line=$(printf '%s' "$run_line" | sed "s,$coded_sockets,SOCKETS,g")
}
