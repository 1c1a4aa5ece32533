#!/bin/sh
# What is wrong with jobs, stores and times: each is told of in words, with what
# to do next, and nothing is lost.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/queue-lib.sh
. "$(dirname "$0")/queue-lib.sh"
cd "$tmp" || exit 1

# How many jobs there are in a store.
jobs_in() {
	"$WEIR" jobs list --limit 0 --json --db "$1" | wc -l
}

# refused STATUS ERROR TRY ARGS...: what is said of it, beginnings of lines;
# no TRY: the error says it all.
refused() {
	refused_status=$1 refused_error=$2 refused_try=$3
	shift 3
	weir "$@"
	if [ "$status" -eq "$refused_status" ] && [ ! -s "$out" ] &&
		grep -qF -e "$refused_error" "$err" &&
		{ [ -z "$refused_try" ] || grep -qF "try: $refused_try" "$err"; }; then
		ok "is refused: $run_line"
	else
		not_ok "is refused: $run_line" "expected: $refused_error
try: $refused_try
$(last_run)"
	fi
}

nested() {
	python3 -c 'import sys; n = int(sys.argv[1]) - 1
print("{\"a\":" + "[" * n + "]" * n + "}")' "$1"
}

# args, as flags.  The store is not made for what is refused.
bad_args() {
	refused 2 "weir enqueue: args: $2" 'weir enqueue --help' \
		enqueue mail --kind email --args "$1"
}
bad_args "$(nested 65)" 'more than 64 levels deep'
bad_args '' 'no JSON at all'
bad_args '[1]' '[ where an object in {} should be'
bad_args '{"a":1' ''
bad_args '{"a":1}}' '} where the end should be'
bad_args '{"a":1,"a":2}' 'duplicate key "a"'
bad_args '{"a":1,"\u0061":2}' 'duplicate key'
bad_args '{"a":01}' 'a number that begins with 0'
bad_args '{"a":"\ud800"}' 'half of a surrogate pair'
bad_args '{"a":"\u0000"}' '\u0000'
bad_args "$(printf '{"a":"\377"}')" 'a string that is not UTF-8'
check 'no store was made' test ! -e jobs.db

# Names.
bad_queue() {
	refused 2 "weir enqueue: queue $2" 'weir enqueue --help' \
		enqueue --kind email --args '{}' -- "$1"
}
long=$(printf 'a%.0s' $(seq 128))
bad_queue '' '"" is empty'
bad_queue Mail '"Mail" has something else than a-z'
bad_queue 'a b' '"a b" has something else'
bad_queue "$long" '"aaa'
bad_queue _a '"_a" does not begin and end with'
bad_kind() {
	refused 2 "weir enqueue: kind $2" 'weir enqueue --help' \
		enqueue mail --args '{}' --kind "$1"
}
bad_kind '' '"" is empty'
bad_kind x '"x" has only one character'
bad_kind 'a b' '"a b" has something else than letters'
bad_kind "$long" '"aaa'
bad_kind weir.run '"weir.run" is reserved'
refused 2 'weir enqueue: tag "ab" has' 'weir enqueue --help' \
	enqueue mail --kind email --args '{}' --tag ab
refused 2 'weir enqueue: metadata: ' 'weir enqueue --help' \
	enqueue mail --kind email --args '{}' --metadata '[]'
refused 2 'weir enqueue: no queue given' 'weir enqueue default --kind KIND' \
	enqueue --kind email
refused 2 'weir enqueue: no --kind given' 'weir enqueue --whole' enqueue mail
refused 2 "weir enqueue: too many arguments: 'b'" '' enqueue a b --kind email

# Times, numbers, uniqueness.
one='enqueue mail --kind email --args {}'
# shellcheck disable=SC2086 # several words
bad_option() {
	refused 2 "weir enqueue: $2" '' $one $1
}
bad_option '--delay 5' "--delay: '5' needs a unit, such as 30s"
bad_option '--delay -5s' "--delay: '-5s' is no duration"
bad_option '--timeout 1x' "--timeout: '1x' is no duration"
bad_option '--at 25:00' "--at: '25:00' is no time, such as"
bad_option '--at 2027-02-29T09:00:00Z' "--at: '2027-02-29T09:00:00Z' is no time"
bad_option '--at 2027-01-31T09:00' "--at: '2027-01-31T09:00' is no time"
bad_option '--at tomorrow' "--at: 'tomorrow' is no time"
bad_option '--delay 1h --at 09:00' '--delay and --at exclude each other'
bad_option '--priority 5' '--priority: 5 is above the maximum, 4'
bad_option '--max-attempts 0' '--max-attempts: 0 is below the minimum, 1'
bad_option '--max-attempts 32768' '--max-attempts: 32768 is above'
bad_option '--unique when' "--unique: 'when': its words are args,"
bad_option '--unique period' "--unique: 'period': period needs a time"
bad_option '--unique args,period=10ms' \
	"--unique: 'args,period=10ms': period= needs a time of 1s or more"
bad_option '--unique state=done,args' \
	"--unique: 'state=done,args': state= needs the name of a state"
bad_option '--whole' '--whole is about lines'
check 'no store was made by these either' test ! -e jobs.db

# Numbers that no double holds, depth and size up to the bounds: byte for byte.
hard='{"a":1e999999,"b":-0.0,"c":123456789012345678901234567890,'
hard=$hard'"d":1.00000000000000000000000000001,"é\/":"\u00e9\/\t"}'
weir enqueue mail --kind email --args "$hard"
expect_out 1
weir jobs show --json 1
check 'what no double holds comes through' grep -qF "\"args\":$hard," "$out"
# shellcheck disable=SC2086
weir $one --metadata "$hard"
weir jobs show --json 2
check 'in metadata as well' grep -qF "\"metadata\":$hard," "$out"
nested 64 >deep
weir enqueue mail --kind email -a deep
expect_status 0 '64 levels are fine'
weir jobs show --json 3
check 'and come through' grep -qF "\"args\":$(cat deep)," "$out"
# Line breaks between the parts of JSON are blanks, and would break ours.
weir enqueue mail --kind email --args '{
 "a" : 1 }'
weir jobs show --json 4
match_out '"args":{  "a" : 1 },'
check 'which is one line' test "$(wc -l <"$out")" = 1

# Lines: the bad ones with their numbers, the others in.
mib() {
	python3 -c 'import sys; n = int(sys.argv[1]) - 8
print("{\"a\":\"" + "x" * n + "\"}")' "$1"
}
{
	echo '{"n":1}'
	echo '{"n":2,"n":2}'
	mib 1048577
	echo
	mib 1048576
	mib 5000000
	printf '\357\273\277{"n":3}\n'
	echo 'no JSON'
	printf '{"n":4}'
} >lines
give lines enqueue lines --kind email
expect_status 123
expect_out '5
6
7'
match_err '^weir enqueue: line 2: args: duplicate key "n" (at byte 7)$'
match_err '^weir enqueue: line 3: args: more than 1048576 bytes$'
match_err '^weir enqueue: line 6: the line is too long$'
match_err '^weir enqueue: line 7: args: a byte order mark (at byte 0)$'
match_err '^weir enqueue: line 8: args: n where an object in {} should be'
match_err '^enqueued 3 jobs in '
match_err '^5 lines are no job; see above$'
weir jobs list --queue lines --oldest --json
expect_json "$out" '[len(json.dumps(j["args"], separators=(",", ":"))) for j in r]' \
	'[7, 1048576, 7]'
seq 2500 | sed 's/.*/{"n":&}/; 1234s/}//; 2001s/n/N","N/' >lines
give lines enqueue many --kind email --json
expect_status 123
expect_json "$out" '[j["line"] for j in r if j["id"] is None]' '[1234, 2001]'
expect_json "$out" 'len(r)' 2500
give lines enqueue many --kind email -a lines -a none
expect_status 1
expect_err 'weir enqueue: cannot read: No such file or directory (none)'

# Whole lines.
cat >lines <<'END'
{"kind":"email","queue":"whole","args":{"n":1e999}}
[]
{"kind":"email"
{"kind":"email","kind":"email"}
{"kind":"email","priority":0}
{"kind":"email","priority":100000000000000000000}
{"kind":"email","delay":"5"}
{"kind":"email","scheduled_at":"tomorrow"}
{"kind":"email","tags":"abc"}
{"kind":"email","tags":[1]}
{"kind":"email","id":01}
{"kind":"email","unique":"period"}
{"kind":"email","args":{"a":1,"a":1}}
{"kind":"x"}
{"queue":"whole"}
{"kind":"email","queue":"Whole"}
{"kind":"weir.run","args":{"argv":["true"]}}
END
give lines enqueue --whole
expect_status 123
check 'one of them is a job' test "$(wc -l <"$out")" = 1
match_err '^16 lines are no job; see above$'
match_err '^weir enqueue: line 2: it is no JSON object$'
match_err '^weir enqueue: line 4: .kind. stands there twice$'
match_err '^weir enqueue: line 5: priority is no number from 1 to 4$'
match_err '^weir enqueue: line 6: priority is too large a number$'
match_err '^weir enqueue: line 7: delay is no time, such as "5m"$'
match_err '^weir enqueue: line 10: a tag is no text$'
match_err '^weir enqueue: line 12: unique: period needs a time'
match_err '^weir enqueue: line 13: args: duplicate key "a"'
match_err '^weir enqueue: line 14: kind "x" has only one character$'
match_err '^weir enqueue: line 15: it names no kind$'
match_err '^weir enqueue: line 17: kind "weir.run" is reserved'

# jobs, queues, schedule, db.
refused 2 "weir jobs: 'x' is no id of a job, such as 17" 'weir jobs list' jobs show x
refused 2 "weir jobs: '-' is no id" 'weir jobs list' jobs cancel -
refused 2 "weir jobs: '99999999999999999999' is no id" '' jobs show 99999999999999999999
refused 2 "weir jobs: --state: 'retryabel' is none of" '' jobs --state retryabel
match_err "did you mean 'retryable'?\$"
refused 2 "weir jobs: --since: '5' is no time" '' jobs --since 5
refused 2 'weir jobs: no ids of jobs given' 'weir jobs retry --all-matching' jobs retry
refused 2 'weir jobs: --all-matching and ids exclude' '' jobs retry 1 --all-matching
refused 2 'weir jobs: filters go with --all-matching' '' jobs retry 1 --queue a
refused 2 'weir queues: no names of queues given' 'weir queues pause --all' queues pause
refused 2 'weir queues: --all and names exclude' '' queues pause a --all
refused 2 'weir queues: no --finished' '' queues set a
refused 123 "weir queues: there is no queue 'nope'" '' queues pause nope
refused 123 "weir queues: 'No': " '' queues set No --finished drop
bad_spec() {
	refused 2 "weir schedule: '$1' is no time to fire at: $2" \
		'weir schedule add x' schedule add x "$1" mail --kind email
}
bad_spec '* * * *' 'it has 4 fields'
bad_spec '60 * * * *' 'minute: 60 is not one of 0 to 59'
bad_spec '* 24 * * *' 'hour: 24'
bad_spec '* * 0 * *' 'day: 0'
bad_spec '* * * foo *' 'month: '
bad_spec '5-1 * * * *' 'minute: '
bad_spec '@every 5' '"5" is no duration'
bad_spec '@everyday' ''
refused 2 'weir schedule: no --kind given' 'weir schedule --help' schedule add x @hourly mail
refused 2 'weir schedule: cannot add it: queue "Mail"' 'weir schedule --help' \
	schedule add x @hourly Mail --kind email
refused 2 'weir schedule: cannot add it: unique by period' 'weir schedule --help' \
	schedule add x @hourly mail --kind email --unique period=1h
refused 2 'weir schedule: cannot add it: args: ' 'weir schedule --help' \
	schedule add x @hourly mail --kind email --args '{"a":1,"a":1}'
refused 2 'weir schedule: NAME SPEC QUEUE is missing' '' schedule add x
refused 2 'weir db: cannot migrate the store: there is no version 999999' '' \
	db migrate --to 999999

# Stores: missing, foreign, older, newer, damaged, locked, not ours to write.
everywhere() {
	everywhere_db=$1 everywhere_error=$2 everywhere_try=$3
	for everywhere_words in jobs 'jobs retry 1' queues 'queues pause a' \
		'schedule' 'db' 'work mail'; do
		# shellcheck disable=SC2086
		refused 1 "weir ${everywhere_words%% *}: $everywhere_error" \
			"$everywhere_try" $everywhere_words --db "$everywhere_db"
	done
}
everywhere none.db 'cannot open the store: there is none (none.db)' \
	'weir db migrate --db none.db'
check 'looking makes no store' test ! -e none.db
refused 1 'there is none (none.db)' 'weir db migrate --db none.db' db check --db none.db
refused 1 'there is none (no/where.db)' 'mkdir -p no' jobs --db no/where.db
refused 1 'there is none (no/where.db)' 'mkdir -p no' \
	enqueue a --kind email --args '{}' --db no/where.db
refused 1 'weir jobs: cannot open the store: there is none' 'weir db migrate' \
	jobs --db sqlite:none.db

python3 -c 'import sqlite3
db = sqlite3.connect("foreign.db"); db.execute("create table a (b)"); db.commit()'
cp foreign.db before
for words in jobs 'enqueue a --kind email --args {}' 'db check' 'db migrate'; do
	# shellcheck disable=SC2086
	refused 1 'a database, but not of weir (foreign.db)' \
		'weir db migrate --db weir-jobs.db' $words --db foreign.db
done
check 'a foreign database is left as it is' cmp -s foreign.db before
echo 'Dear diary' >text.db
for words in jobs 'enqueue a --kind email --args {}' 'db check'; do
	# shellcheck disable=SC2086
	refused 1 'file is not a database (text.db)' 'weir db migrate --db' \
		$words --db text.db
done
check 'a text is left as it is' test "$(cat text.db)" = 'Dear diary'
mkdir folder
refused 1 'not a regular file (folder)' 'weir db migrate --db' jobs --db folder

python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("pragma user_version").fetchone()[0])
db.execute("pragma user_version = 99"); db.commit()' jobs.db >version
for words in jobs 'enqueue a --kind email --args {}' 'db check' 'db migrate' \
	'work mail' 'schedule'; do
	# shellcheck disable=SC2086
	refused 1 '99' 'weir --version, here and where the newer one is' $words
done
python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma user_version = " + sys.argv[2]); db.commit()' jobs.db "$(cat version)"
weir db migrate --to 1
everywhere jobs.db 'cannot open the store: it has version 1, this weir needs' \
	'weir db migrate --db jobs.db'
weir db migrate
weir db check
expect_out sound

# Damage: what can be read still is, and nothing more is lost.
seq 20000 | sed 's/.*/{"n":&}/' >many
give many enqueue a --kind email --db torn.db
python3 -c 'import os, sqlite3
db = sqlite3.connect("torn.db"); db.execute("pragma wal_checkpoint(truncate)")
db.close()
with open("torn.db", "r+b") as f:
    f.seek(20 * 4096); f.write(os.urandom(50 * 4096))'
refused 1 'malformed (torn.db)' 'weir db check --db torn.db' queues --db torn.db
weir jobs list --limit 0 --db torn.db
expect_status 1
match_err '^try: weir db check --db torn.db$'
check 'what comes before the damage is listed' test "$(wc -l <"$out")" -gt 1000
weir db check --db torn.db
expect_status 1
match_out 'Page 6[0-9]'
match_err '^weir db: the store is damaged: [0-9]* findings (torn.db)$'
match_err '^try: weir jobs list --db torn.db .* | weir enqueue --whole --db torn.db-saved$'
# What it says to try saves what comes before the damage.
sed -n 's/^try: //p' "$err" >save
PATH=$WEIR_BUILD:$PATH sh save >saved.ids 2>/dev/null
check 'jobs are saved that way' test "$(wc -l <saved.ids)" -gt 1000
weir db check --db torn.db-saved
expect_status 0
weir db check --db torn.db --json
expect_json "$out" '(len(r) > 2, r[-1])' "(True, {'ok': False})"

# A row that somebody else has written is shown, and every line is JSON.
weir enqueue a --kind email --args '{}' --db odd.db
python3 -c 'import sqlite3
db = sqlite3.connect("odd.db")
db.execute("update job set args = ?, errors = ?, kind = ?",
           ("{\"a\": \x1b[31m", "[broken", "\x1b]0;title\x07"))
db.commit()'
weir jobs list --db odd.db --json
expect_json "$out" 'r[0]["args"]' "$(printf '{"a": \033[31m')"
weir jobs show 1 --db odd.db
expect_status 0
check 'no control character comes through' sh -c "! tr -d '\\n' <'$out' | grep -q '[[:cntrl:]]'"
weir jobs --db odd.db
check 'nor in a list' sh -c "! tr -d '\\n' <'$out' | grep -q '[[:cntrl:]]'"

# Locked: who waits is told by whom, and a reader need not wait.
before=$(jobs_in jobs.db)
start python3 -c 'import sqlite3, time
db = sqlite3.connect("jobs.db", isolation_level=None)
db.execute("begin immediate")
open("locked", "w")
time.sleep(60)'
locker=$pid
check 'it is locked' wait_for 10 test -e locked
weir jobs list --limit 1
expect_status 0
refused 1 'weir enqueue: cannot enqueue: cannot write: database is locked (jobs.db)' \
	'fuser -v jobs.db' enqueue a --kind email --args '{}'
kill "$locker"
wait "$locker" 2>/dev/null
check 'nothing has come or gone' test "$(jobs_in jobs.db)" = "$before"

# Not ours to write; root may write everywhere, so it is nobody who tries.
if [ "$(id -u)" = 0 ]; then
	as='setpriv --reuid 65534 --regid 65534 --clear-groups'
else
	as=
fi
chmod 755 "$tmp"
mkdir readonly
weir db migrate --db readonly/jobs.db
chmod 444 readonly/*
chmod 555 readonly
for words in 'enqueue a --kind email --args {}' 'queues pause a' 'work a'; do
	# shellcheck disable=SC2086
	run $as "$WEIR" $words --no-config --db readonly/jobs.db </dev/null
	expect_status 1
	match_err "^weir ${words%% *}: cannot open the store: "
	match_err '^try: ls -ld readonly/jobs.db$'
done
# shellcheck disable=SC2086
run $as "$WEIR" enqueue a --kind email --args '{}' --no-config --db readonly/new.db
expect_status 1
match_err '^weir enqueue: cannot open the store: .*Permission denied (readonly/new.db)$'
match_err '^try: ls -ld readonly$'
chmod 755 readonly

refused 2 'no store of that kind in this build, "mysql:"' 'weir jobs --db jobs.db' \
	jobs --db mysql://db/app
refused 2 'no store of that kind' '' db check --db mysql://db/app
weir jobs --db mysql://user:secret@db/app
check 'a password is not repeated' sh -c "! grep -q secret $err"

done_testing
