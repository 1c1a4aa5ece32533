# shellcheck shell=sh
# For the tests of weir fetch, after lib.sh: the sample site, and records.
#
#	site_start          $site is then http://127.0.0.1:PORT
#	field FILE URL KEY  a record's value, as it stands in the JSON

site_start() {
	start "$WEIR_BUILD/examples/sample-site" --quiet --die-with-parent \
		--port-file "$tmp/.port"
	wait_for 10 test -s "$tmp/.port" || return 1
	site=http://127.0.0.1:$(cat "$tmp/.port")
}

# The records of one URL, one a line.
records_of() {
	grep -F "\"url\":\"$2\"," "$1"
}

field() {
	records_of "$1" "$2" | sed -n "s/.*\"$3\":\(\"[^\"]*\"\|[^,}]*\).*/\1/p"
}

# expect_field FILE URL KEY VALUE
expect_field() {
	field_got=$(field "$1" "$2" "$3")
	if [ "$field_got" = "$4" ]; then
		ok "$3 of ${2#"${site-}"} is $4"
	else
		not_ok "$3 of ${2#"${site-}"} is $4" "it is: $field_got
$(records_of "$1" "$2")"
	fi
}

# count_of FILE STATUS: records with it
count_of() {
	grep -c "\"status\":\"$2\"" "$1"
}
