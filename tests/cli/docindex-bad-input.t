#!/bin/sh
# docindex and what is wrong: documents, extractors, folders, APIs, databases,
# disks.  Each fails alone, is told with its reason, and leaves the index
# whole.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"
# shellcheck source=tests/cli/docindex-lib.sh
. "$(dirname "$0")/docindex-lib.sh"

site_start || exit 1
api -
letters "$tmp/letters" 40
letters=$tmp/letters
esc=$(printf '\033')

# failed NAME REGEX REASON: of the last add --json and its summary.
failed() {
	failed_got=$(python3 "$tmp/.json.py" "$out" "of('$1')[\"error\"]" 2>&1)
	if printf '%s\n' "$failed_got" | grep -q "$2" &&
		grep -q "^[0-9]* failed: .*×$3\( \|\$\)" "$err"; then
		ok "$1 fails: $2 ($3)"
	else
		not_ok "$1 fails: $2 ($3)" "it says: $failed_got
$(last_run)"
	fi
}

# Documents.  The good one among them is indexed.
pdf "$docs/good.pdf" 'Kingfishers nest in banks.'
pages 500 "$docs/long.pdf" 'Page %d of the manual: the part called flange%d.'
pdf "$tmp/plain.pdf" 'A secret.'
head -c 300 "$tmp/plain.pdf" >"$docs/cut.pdf"
: >"$docs/empty.pdf"
: >"$docs/empty.txt"
printf ' \n\t\n' >"$docs/blank.md"
echo 'This is no PDF.' >"$docs/fake.pdf"
printf 'caf\351 in Latin-1\n' >"$docs/latin.txt"
printf 'text\000and a NUL\n' >"$docs/nul.txt"
pdf "$docs/scan.pdf" ''
head -c 20000 /dev/urandom >"$tmp/noise"
{
	echo '%PDF-1.7'
	cat "$tmp/noise"
} >"$docs/noise.pdf"
mkfifo "$docs/fifo.pdf"
mkdir "$docs/folder.pdf"
echo 'Inside a folder.' >"$docs/folder.pdf/in.txt"
more=
if command -v qpdf >/dev/null; then
	qpdf --encrypt user owner 256 -- "$tmp/plain.pdf" "$docs/locked.pdf"
	more=1
fi
add --json "$docs"
expect_status 123
failed cut.pdf . damaged
failed empty.pdf '^it is empty$' empty
failed empty.txt '^it is empty$' empty
failed blank.md 'nothing but blanks' 'no text'
failed fake.pdf '^it is not a PDF' 'not a PDF'
failed latin.txt '^byte 3 is not UTF-8' 'not UTF-8'
failed nul.txt 'is a NUL' binary
failed scan.pdf 'scanned pages' 'no text'
failed noise.pdf '^pdftotext: ' damaged
if [ "$more" ]; then
	failed locked.pdf 'encrypted, and needs a password' encrypted
else
	skip 'an encrypted PDF' 'qpdf is missing'
fi
expect_json "$out" '[x["path"] for x in r if "fifo" in x["path"]]' '[]'
check 'each failure is listed with its document' \
	test "$(grep -c '^ ✗ .*/docs/' "$err")" -eq $((9 + ${more:-0}))
expect_sql 'SELECT count(*) FROM documents' 3 'the good ones'
finds kingfishers good.pdf 1
finds 'flange499 flange500' long.pdf "$(sql "SELECT page FROM chunks
	WHERE text LIKE '%flange500.%'")"
check 'a late page of 500' test "$(sql 'SELECT max(page) FROM chunks')" -gt 400
expect_whole
add "$docs/fifo.pdf"
expect_status 123
match_err 'fifo.pdf .*it is no regular file'

# A document that was good and is damaged now stays as it was.
head -c 300 "$docs/good.pdf" >"$tmp/half"
cp "$docs/good.pdf" "$tmp/whole"
cp "$tmp/half" "$docs/good.pdf"
add "$docs"
expect_status 123
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%/good.pdf'" 1 \
	'what is damaged now is not forgotten'
cp "$tmp/whole" "$docs/good.pdf"

# Extractors that misbehave, for the documents that tell them to.
hostile=$tmp/hostile
mkdir "$hostile"
for how in loop crash eat write flood noisy killed stubborn fork; do
	pdf "$hostile/$how.pdf" "do $how"
done
pdf "$hostile/fine.pdf" 'Plovers run.'
# shellcheck disable=SC2016 # it is for the extractor's shell
extractor 'text=$(cat)
case $text in
*"do loop"*) while :; do :; done ;;
*"do crash"*) kill -SEGV $$ ;;
*"do eat"*) exec python3 -c "x = bytearray(1 << 40)" ;;
*"do write"*) echo "a word" >"'"$tmp/escaped"'"; echo "not reached" ;;
*"do flood"*) exec yes "More and more words." ;;
*"do noisy"*) yes "An error." | head -c 3000000 >&2; exit 1 ;;
*"do killed"*) kill -KILL $$ ;;
*"do stubborn"*) trap "" INT TERM HUP; while :; do :; done ;;
*"do fork"*) sleep 600 & sleep 600 ;;
*) printf "Plovers run.\f" ;;
esac'
db=$tmp/hostile.db
add --json -j 8 --pdftotext "$tmp/extractor" --pdf-timeout 5s \
	--text-max 1M "$hostile"
expect_status 123
failed loop.pdf 'not finished it within 5s' timeout
failed stubborn.pdf 'not finished it within 5s' timeout
failed fork.pdf 'not finished it within 5s' timeout
failed crash.pdf 'crashed on it: SIGSEGV' crashed
failed eat.pdf . damaged
failed write.pdf . crashed
failed flood.pdf 'more than 1 MiB of text' 'too long'
failed noisy.pdf 'An error' damaged
check 'who is killed by somebody else was not late' \
	sh -c "! grep 'killed.pdf' '$out' | grep -q within"
check 'an extractor writes no file' test ! -s "$tmp/escaped"
finds plovers fine.pdf 1
gone 'no extractor is left, nor what it has started'
add --pdftotext "$tmp/no such program" "$hostile/fine.pdf"
expect_status 0 'what is in the index needs no extractor'
add --pdftotext "$tmp/no such program" "$hostile/loop.pdf"
expect_status 123
match_err 'no such program was not found; it is in poppler-utils'

# docindex dies: so does what it has started.
start_add --pdftotext "$tmp/extractor" "$hostile/stubborn.pdf"
# shellcheck disable=SC2317 # wait_for calls it
extracting() {
	left | grep -q extractor
}
check 'an extractor runs' wait_for 10 extracting
kill -KILL "$pid"
end_add 2>/dev/null
gone 'and is gone when docindex is killed'
start_add --pdftotext "$tmp/extractor" --grace 0s "$hostile/stubborn.pdf"
wait_for 10 extracting
kill -INT "$pid"
end_add
expect_status 130 'or told to end at once'
gone 'with no extractor left'

# A file that is replaced while it is read: what was hashed is indexed.  (The
# extractor makes an empty file, which it may.)
extractor 'cat >/dev/null; : >"'"$tmp/reading"'"
until [ -e "'"$tmp/replaced"'" ]; do sleep 0.05; done; echo "Old gannets."'
pdf "$tmp/new.pdf" 'New gannets.'
mkdir "$tmp/swap"
pdf "$tmp/swap/it.pdf" 'Old gannets.'
start_add --pdftotext "$tmp/extractor" "$tmp/swap"
wait_for 10 test -e "$tmp/reading"
mv "$tmp/new.pdf" "$tmp/swap/it.pdf"
: >"$tmp/replaced"
end_add
expect_status 0
api -
add "$tmp/swap"
expect_asked 1 'a file that was replaced meanwhile is indexed the next time'
expect_sql "SELECT text FROM chunks WHERE text LIKE '%gannets%'" 'New gannets.'

# 200 MB of text.
db=$tmp/large.db
yes 'Enough is as good as a feast.' | head -c 200000000 >"$tmp/large.txt"
add "$tmp/large.txt"
expect_status 123
match_err 'large.txt .*more than 16 MiB of text'
add --text-max 4k "$tmp/large.txt"
match_err 'large.txt .*more than 4 KiB of text'
rm "$tmp/large.txt"

# Words without end, and letters that a terminal would obey.
db=$tmp/odd.db
mkdir "$tmp/odd"
head -c 300000 /dev/zero | tr '\0' x >"$tmp/odd/word.txt"
printf 'Curlew %s[2J%s]0;title\a call \302\233 31m.\n' "$esc" "$esc" \
	>"$tmp/odd/esc.txt"
printf 'Avocets \342\200\256 turn \342\200\217 around.\n' >"$tmp/odd/bidi.txt"
add "$tmp/odd"
expect_status 0
for locale in C C.UTF-8; do
	run env LC_ALL=$locale "$DOCINDEX" search --db "$db" 'curlew call'
	expect_status 0 "search with LC_ALL=$locale"
	check "a text cannot write on a terminal of $locale" \
		sh -c "! tr -d '\n' <'$out' | grep -q '[[:cntrl:]]'"
done
check 'only ASCII is printed in the locale C' sh -c "LC_ALL=C \
	'$DOCINDEX' search --db '$db' avocets | LC_ALL=C grep -q Avocets && \
	! LC_ALL=C '$DOCINDEX' search --db '$db' avocets | \
	LC_ALL=C grep -q '[^ -~]'"

# Folders: without permission, links in a circle, too deep.
db=$tmp/walk.db
mkdir -p "$tmp/walk/shut" "$tmp/walk/a/b"
echo 'Bitterns boom.' >"$tmp/walk/shut/in.txt"
echo 'Rails run.' >"$tmp/walk/a/b/out.txt"
echo 'Crakes creep.' >"$tmp/walk/shut.txt"
ln -s .. "$tmp/walk/a/b/up"
ln -s self "$tmp/walk/self"
ln -s nowhere "$tmp/walk/nowhere.txt"
add "$tmp/walk"
expect_status 0 'links are no trouble without -L'
match_err '^indexed 3 in'
add -L "$tmp/walk"
expect_status 123
match_err '/a/b/up '
match_err 'nowhere.txt'
expect_sql 'SELECT count(*) FROM documents' 3 'each once'
# Root may read anything, unless it gives that up.
mortal='env'
[ "$(id -u)" != 0 ] ||
	mortal='setpriv --bounding-set -dac_override,-dac_read_search'
chmod 0 "$tmp/walk/shut" "$tmp/walk/shut.txt"
if $mortal true 2>/dev/null && ! $mortal ls "$tmp/walk/shut" 2>/dev/null; then
	run $mortal "$DOCINDEX" add --db "$db" "$tmp/walk"
	expect_status 123
	match_err 'walk/shut .*Permission denied'
	match_err 'walk/shut.txt .*Permission denied'
	match_err '2×unreadable'
	expect_sql 'SELECT count(*) FROM documents' 3 \
		'what cannot be read is not forgotten'
else
	skip 'a folder without permission' 'we may read everything'
fi
chmod 700 "$tmp/walk/shut" "$tmp/walk/shut.txt"
deep=$tmp/walk
for i in $(seq 70); do
	deep=$deep/d
done
mkdir -p "$deep"
add "$tmp/walk"
expect_status 123
match_err 'deep'

# The API: a wrong key, no such model, not there, vectors of another length.
db=$tmp/api.db
secret=sk-opensesame
OPENAI_API_KEY=$secret
export OPENAI_API_KEY
api key=right,latency=50
add --json "$letters"
expect_status 1
match_err '^docindex add: stopped: the API answers 401: '
match_err '^try: '
check 'it is told once' test "$(grep -c 401 "$err")" -eq 1
check 'and asked for no more than the width' \
	test "$(grep -c '"failed"' "$out")" -le 16
check 'the key is shown nowhere' sh -c "! grep -q '$secret' '$out' '$err'"
ask anything
expect_status 1
check 'nor by search' sh -c "! grep -q '$secret' '$out' '$err'"
OPENAI_API_KEY=right
add "$letters"
expect_status 0 'the same again with the right key'
expect_sql 'SELECT count(*) FROM documents' 40
check 'the key is not in the index' sh -c "! grep -q 'right' '$db'"
for bad in "right
X-Evil: 1" "right
" "$(printf 'right\r')"; do
	OPENAI_API_KEY=$bad
	add "$letters/l1.txt" "$docs/good.pdf"
	expect_status 2 'a key with a line end is no key'
	match_err 'OPENAI_API_KEY'
done
unset OPENAI_API_KEY
db=$tmp/model.db
api -
add --model missing "$letters"
expect_status 1
match_err '^docindex add: stopped: the API answers 404: the model does not'
OPENAI_BASE_URL=$site/nothing/v1 add "$letters/l1.txt"
expect_status 1
match_err 'stopped: the API answers 404'
OPENAI_BASE_URL=$site/model/-/v1/
add "$letters/l1.txt"
expect_status 0 'a slash at the end of the URL does no harm'
for bad in ftp://x/ nonsense 'http://' 'http://a b/'; do
	add --url "$bad" "$letters"
	expect_status 2
	match_err '^docindex add: --url: '
done
unset OPENAI_BASE_URL
add "$letters"
expect_status 2
match_err 'OPENAI_BASE_URL has to say'
match_err '^try: '

db=$tmp/refused.db
OPENAI_BASE_URL=http://127.0.0.1:1/v1
export OPENAI_BASE_URL
letters "$tmp/hundred" 100
add --retries 0 --json "$tmp/hundred"
expect_status 1
match_err '^docindex add: stopped: the API: .*connect'
check 'nobody there: it does not try all' \
	test "$(grep -c '"failed"' "$out")" -le 60
api -
add "$tmp/hundred"
expect_status 0 'the same again with somebody there'
expect_sql 'SELECT count(*) FROM documents' 100

db=$tmp/dims.db
api dims=16
add "$letters/l1.txt"
api dims=8
add "$letters"
expect_status 1
match_err 'stopped: its vectors have 8 numbers, those of the index 16'
ask letter
expect_status 1
match_err 'its vectors have 8 numbers, those of the index 16'
expect_whole
api dims=16
add "$letters"
expect_status 0
ask -n 1 'affair7'
match_out '/l7.txt'

# The model is that of the index.
db=$tmp/a.db
add --model a "$letters/l1.txt"
expect_status 0
add --model b "$letters/l2.txt"
expect_status 2
match_err "a.db: its vectors are of the model 'a', not 'b'"
match_err '^try: another --db, or --model a$'
ask --model b letter
expect_status 2
add "$letters/l2.txt"
expect_status 0 'without --model it is that of the index'

# Databases of another kind.
foreign() {
	cp "$1" "$tmp/before"
	db=$1
	add "$letters"
	expect_status 1 "add to $2"
	match_err "$3"
	match_err "^try: $4"
	ask letter
	expect_status 1 "search in $2"
	match_err "$3"
	check "$2 is left as it was" cmp -s "$1" "$tmp/before"
}
echo 'Dear diary' >"$tmp/text.db"
foreign "$tmp/text.db" 'a text' 'text.db: file is not a database' \
	'another file: --db'
python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1]); db.execute("pragma application_id = 77")
db.execute("create table a (b)"); db.commit()' "$tmp/foreign.db"
foreign "$tmp/foreign.db" 'a database of somebody else' \
	'foreign.db is a database of another kind' 'another file: --db'
"$WEIR" enqueue default --db "$tmp/jobs.db" --kind some.kind --args '{}' \
	>/dev/null 2>&1
foreign "$tmp/jobs.db" "weir's jobs" 'jobs.db is a database of another kind' \
	'another file: --db'
cp "$tmp/a.db" "$tmp/newer.db"
python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1]); db.execute("pragma user_version = 99")
db.commit(); db.execute("pragma wal_checkpoint(truncate)")' "$tmp/newer.db"
foreign "$tmp/newer.db" 'a newer index' 'a newer docindex has made .*99' \
	'a newer docindex, or another --db'
db=$tmp/none.db
ask letter
expect_status 1
match_err 'cannot open .*none.db: No such file'
match_err "^try: docindex add --db $db FOLDER"
check 'search makes no index' test ! -e "$db"
mkdir "$tmp/nothing"
add "$tmp/nothing"
expect_status 0
ask letter
expect_status 123
match_err 'the index is empty'
match_err '^try: docindex add '
db=$tmp
add "$letters"
expect_status 1 'an index that is a folder'
match_err 'is not a regular file'
db=$tmp/no/such/folder.db
add "$letters"
expect_status 1
match_err 'folder.db: .*No such file or directory'
head -c 5000 "$tmp/a.db" >"$tmp/torn.db"
db=$tmp/torn.db
add "$letters"
expect_status 1 'an index that is cut off'
match_err '^docindex add: .*torn.db'
db=$tmp/a.db

# Words that are none, or too many.
ask '  ' "$(printf '\t')"
expect_status 2
match_err 'search for which words?'
ask
expect_status 2
ask "$(head -c 100000 /dev/zero | tr '\0' x)"
expect_status 2
match_err 'more words than can be searched for'
ask "$(head -c 60000 /dev/zero | tr '\0' x)"
expect_status 0 'one word of 60000 letters'
ask "$(printf '\377')"
expect_status 2
match_err 'not UTF-8'
ask '"; DROP TABLE chunks; --'
expect_status 0
check 'a score of nothing has no sign' sh -c "! grep -q '^-0.00' '$out'"

# sqlite-vec: without, with one that is not there, and with a real one.
db=$tmp/scan.db
add --vec0 none "$letters"
expect_status 0
ask --json -n 10 affair9
cp "$out" "$tmp/by-scan"
db=$tmp/novec.db
add --vec0 "$tmp/nothing.so" "$letters"
expect_status 2
match_err 'vec0: No such file or directory'
if [ -n "${DOCINDEX_TEST_VEC0-}" ]; then
	db=$tmp/vec0.db
	add --vec0 "$DOCINDEX_TEST_VEC0" "$letters"
	expect_status 0
	ask --vec0 "$DOCINDEX_TEST_VEC0" --json -n 10 affair9
	check 'sqlite-vec and the scan agree on the nearest' \
		test "$(sed -n '1s/.*"path":\("[^"]*"\).*/\1/p' "$out")" = \
		"$(sed -n '1s/.*"path":\("[^"]*"\).*/\1/p' "$tmp/by-scan")"
	ask --vec0 none affair9
	expect_status 2
	match_err 'was made with sqlite-vec and cannot be used without it'
else
	skip 'sqlite-vec' 'DOCINDEX_TEST_VEC0 does not say where it is'
fi

# Standard output that takes nothing.
db=$tmp/full-out.db
if [ -w /dev/full ]; then
	"$DOCINDEX" add --json --db "$db" "$letters" >/dev/full 2>"$err" \
		</dev/null
	status=$?
	run_line='docindex add --json >/dev/full'
	: >"$out"
	expect_status 1
	match_err '^docindex add: cannot write: No space left on device'
else
	skip 'a full standard output' 'there is no /dev/full'
fi

# A full disk: a small one, which only this shell sees.
full=$tmp/full
mkdir "$full" "$tmp/bulk"
for i in 1 2 3 4 5 6 7 8; do
	prose "bulk$i" 400 >"$tmp/bulk/b$i.txt"
done
cat >"$tmp/on-full-disk" <<'END'
mount -t tmpfs -o size=400k docindex-test "$1" || exit 99
"$2" add --db "$1/i.db" "$3" >"$4.out" 2>"$4.err" </dev/null
echo $? >"$4.status"
cp "$1"/i.db* "$4.copy/"
mount -o remount,size=40m "$1"
"$2" add --db "$1/i.db" "$3" >"$4.again" 2>&1 </dev/null
echo $? >>"$4.status"
cp "$1"/i.db* "$4.after/"
END
mkdir "$tmp/disk.copy" "$tmp/disk.after"
unshare -m sh "$tmp/on-full-disk" "$full" "$DOCINDEX" "$tmp/bulk" \
	"$tmp/disk" 2>"$tmp/disk.why"
if [ -s "$tmp/disk.status" ]; then
	run_line='docindex add on a full disk'
	cp "$tmp/disk.out" "$out"
	cp "$tmp/disk.err" "$err"
	status=$(head -n 1 "$tmp/disk.status")
	expect_status 1
	match_err '^docindex add: stopped: .*full'
	db=$tmp/disk.copy/i.db
	expect_whole
	cp "$tmp/disk.again" "$err"
	status=$(tail -n 1 "$tmp/disk.status")
	expect_status 0 'and with room again'
	db=$tmp/disk.after/i.db
	expect_whole
	expect_sql 'SELECT count(*) FROM documents' 8
else
	skip 'a full disk' "no small one can be mounted: $(cat "$tmp/disk.why")"
fi

gone 'no process is left of all that'
done_testing
