# shellcheck shell=sh disable=SC2154,SC2034 # tmp and run_line are lib.sh's
# For the tests of docindex, after lib.sh and fetch-lib.sh.  The index is $db,
# and documents are below $docs, which is made here.
#
#	api KNOBS                the embedding server that is used from now on;
#	                         its counts begin anew
#	asked                    prints how many requests there were since
#	expect_asked N           a test
#	peak                     prints how many there were at once
#	add ARGS...              runs docindex add; the last run, as with `run`
#	ask ARGS...              runs docindex search; likewise
#	start_add ARGS...        docindex add in the background, in $pid; it
#	                         prints to $tmp/add.out and $tmp/add.err
#	end_add                  waits for it; $status is its exit status
#	pdf FILE TEXT...         a PDF with a page of each TEXT
#	pages N FILE TEXT        a PDF of N pages, with %d their number
#	prose TOPIC N            prints N sentences that nobody else has
#	letters FOLDER N         N documents, each of one chunk
#	expect_json FILE EXPR VALUE   EXPR is Python; r is the list of the
#	                         objects of FILE, of(name) that of one document
#	finds QUESTION NAME [PAGE]    a test: that document is the nearest
#	sql QUERY                prints what the index has, a row a line
#	expect_sql QUERY TEXT    a test
#	expect_whole             tests: the index has nothing by halves
#	some_in N                for wait_for: so many documents are in it
#	extractor SH             makes $tmp/extractor, for --pdftotext
#	gone NAME                a test: no process is left of what was run

DOCINDEX=$WEIR_BUILD/examples/docindex/docindex
db=$tmp/index.db
docs=$tmp/docs
mkdir "$docs"
mark=WEIR_TEST_MARK=$$-$tmp
here=$(cd "$(dirname "$0")" && pwd)
unset OPENAI_BASE_URL OPENAI_API_KEY http_proxy https_proxy ALL_PROXY

if [ ! -x "$DOCINDEX" ]; then
	echo '1..0 # SKIP docindex is not built'
	exit 0
fi
if ! command -v pdftotext >/dev/null; then
	echo '1..0 # SKIP pdftotext is missing (poppler-utils)'
	exit 0
fi

api() {
	OPENAI_BASE_URL=$site/model/$1/v1
	export OPENAI_BASE_URL
	curl -s -o "$tmp/.stats" "$site/stats?reset"
}

# The first of the numbers of that name is that of all hosts.
stats() {
	curl -s "$site/stats" | sed -n "1s/.*\"$1\":\([0-9]*\).*/\1/p"
}

asked() {
	stats requests
}

peak() {
	stats in_progress_max
}

# For check and wait_for: so many requests are being answered now.
in_progress() {
	[ "$(stats in_progress)" -eq "$1" ]
}

expect_asked() {
	asked_got=$(asked)
	if [ "$asked_got" -eq "$1" ]; then
		ok "$1 requests: ${2-$run_line}"
	else
		not_ok "$1 requests: ${2-$run_line}" "there were: $asked_got
$(last_run)"
	fi
}

add() {
	run env "$mark" "$DOCINDEX" add --db "$db" "$@" </dev/null
	run_line="docindex add $*"
}

ask() {
	run env "$mark" "$DOCINDEX" search --db "$db" "$@" </dev/null
	run_line="docindex search $*"
}

start_add() {
	# A shell has its background ignore the first two, nohup the third.
	start env --default-signal=INT,QUIT,HUP "$mark" "$DOCINDEX" add \
		--db "$db" "$@" </dev/null >"$tmp/add.out" 2>"$tmp/add.err"
	run_line="docindex add $*"
}

end_add() {
	wait "$pid"
	status=$?
	cp "$tmp/add.out" "$out"
	cp "$tmp/add.err" "$err"
}

pdf() {
	python3 "$here/make-pdf.py" "$@"
}

pages() {
	pdf -n "$@"
}

# About 60 bytes each, none of which is the same.
prose() {
	seq "$2" | sed "s/.*/The $1 number & has parts $1a& and $1b&, and more./"
}

letters() {
	mkdir -p "$1"
	for i in $(seq "$2"); do
		echo "The letter of sender$i tells of affair$i." >"$1/l$i.txt"
	done
}

cat >"$tmp/.json.py" <<'END'
import json
import os
import sys

r = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]


def of(name):
    (record,) = [x for x in r if os.path.basename(x["path"]) == name]
    return record


print(eval(sys.argv[2]))
END

expect_json() {
	json_got=$(python3 "$tmp/.json.py" "$1" "$2" 2>&1)
	if [ "$json_got" = "$3" ]; then
		ok "${4-records: $2 is $3}"
	else
		not_ok "${4-records: $2 is $3}" "it is: $json_got
$(last_run)"
	fi
}

finds() {
	ask -n 1 --json "$1"
	finds_got=$(python3 "$tmp/.json.py" "$out" \
		'"%s %s" % (os.path.basename(r[0]["path"]), r[0].get("page", 0))' \
		2>&1)
	if [ "$finds_got" = "$2 ${3-0}" ]; then
		ok "\"$1\" is found in $2, page ${3-0}"
	else
		not_ok "\"$1\" is found in $2, page ${3-0}" "but: $finds_got
$(last_run)"
	fi
}

cat >"$tmp/.sql.py" <<'END'
import sqlite3
import sys

for row in sqlite3.connect(sys.argv[1], 10).execute(sys.argv[2]):
    print(*(c.decode("ascii", "backslashreplace") if isinstance(c, bytes)
            else c for c in row))
END

sql() {
	python3 "$tmp/.sql.py" "$db" "$1" 2>&1
}

# expect_sql QUERY TEXT [WHAT]
expect_sql() {
	sql_got=$(sql "$1")
	if [ "$sql_got" = "$2" ]; then
		ok "in the index, ${3-$1}: $2"
	else
		not_ok "in the index, ${3-$1}: $2" "it is: $sql_got
$(last_run)"
	fi
}

# What is in the index is whole: every chunk has its document and its vector.
expect_whole() {
	expect_sql 'PRAGMA integrity_check' ok 'the integrity'
	expect_sql 'SELECT (SELECT count(*) FROM chunks WHERE document NOT IN
		(SELECT id FROM documents)) || " " ||
		(SELECT count(*) FROM documents WHERE id NOT IN
		(SELECT document FROM chunks))' '0 0' \
		'chunks of no document, and documents of no chunk'
	expect_sql 'SELECT count(*) FROM chunks WHERE id NOT IN
		(SELECT rowid FROM vectors)' 0 'chunks without a vector'
}

# For wait_for: so many documents are in the index.
some_in() {
	[ "$(sql 'SELECT count(*) FROM documents')" -ge "$1" ] 2>/dev/null
}

# What has our mark in its environment, whoever its parent is now.
left() {
	grep -lsxzF "$mark" /proc/[0-9]*/environ | while read -r left_file; do
		printf '%s: ' "${left_file%/environ}"
		tr '\0' ' ' <"${left_file%environ}cmdline" && echo
	done 2>/dev/null
}

none_left() {
	[ -z "$(left)" ]
}

gone() {
	if wait_for 10 none_left; then
		ok "$1"
	else
		not_ok "$1" "$(left)"
	fi
}

# An extractor of our own.  $1 is sh; the document is its standard input.
extractor() {
	printf '#!/bin/sh\n%s\n' "$1" >"$tmp/extractor"
	chmod +x "$tmp/extractor"
}
