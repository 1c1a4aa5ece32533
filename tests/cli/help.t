#!/bin/sh
# What the command says of itself, and to those who mistype it.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run "$WEIR" --version
expect_status 0
match_out '^weir [0-9]*\.[0-9]*\.[0-9]*$'

run "$WEIR" --help
expect_status 0
match_out '^  fetch  '
expect_err ''
cp "$out" "$tmp/help"
run "$WEIR" help
check 'weir help is weir --help' cmp -s "$out" "$tmp/help"
run "$WEIR" -h
check 'weir -h is weir --help' cmp -s "$out" "$tmp/help"

run "$WEIR" fetch --help
expect_status 0
match_out '^Example: weir fetch '
match_out '^  -j, --jobs N '
check 'help fits into 80 columns' sh -c "! grep -q '^.\{80\}' '$out'"
cp "$out" "$tmp/help"
run "$WEIR" help fetch
check 'weir help fetch is weir fetch --help' cmp -s "$out" "$tmp/help"

run "$WEIR" --help fetch
check 'weir --help fetch is, too' cmp -s "$out" "$tmp/help"
run "$WEIR" --version fetch
expect_status 2
expect_err "weir: too many arguments: 'fetch'"

printf 'nonsense\n' >"$tmp/bad.conf"
run env WEIR_CONFIG="$tmp/bad.conf" "$WEIR" fetch --help
expect_status 0 'help works with a broken weir.conf'
run "$WEIR" fetch --config "$tmp/bad.conf"
expect_status 2
expect_err "weir fetch: $tmp/bad.conf:1: '=' is missing in 'nonsense'"

printf 'memfree = 1G\n[run]\nload = 100%%\n' >"$tmp/run.conf"
run "$WEIR" fetch --config "$tmp/run.conf" - </dev/null
expect_status 0 'what is for weir run alone does not disturb weir fetch'
printf 'memfri = 1G\n' >"$tmp/run.conf"
run "$WEIR" fetch --config "$tmp/run.conf" - </dev/null
expect_status 2 'what is for no command does'

run "$WEIR"
expect_status 2
match_err '^try: weir --help$'
run "$WEIR" fetsh
expect_status 2
expect_err "weir: unknown command 'fetsh'; did you mean 'weir fetch'?"
run "$WEIR" help zzz
expect_status 2
run "$WEIR" help fetch fetch
expect_status 2
run "$WEIR" --halp
expect_status 2
expect_err "weir: unknown option '--halp'; did you mean '--help'?"

run "$WEIR" fetch --retry 3
expect_status 2
expect_out ''
expect_err "weir fetch: unknown option '--retry'; did you mean '--retries N'?"
run "$WEIR" fetch --timeout 30
expect_status 2
expect_err "weir fetch: --timeout: '30' needs a unit, such as 30s"
run env WEIR_TIMEOUT=30 "$WEIR" fetch
expect_status 2
expect_err "weir fetch: WEIR_TIMEOUT: '30' needs a unit, such as 30s"

# The shell itself writes nothing here, so the status is the command's.
run sh -c '"$1" --help >&-' sh "$WEIR"
expect_status 141 'exits with 141 when stdout is closed'
run sh -c '{ "$1" fetch --help; echo $? >"$2"; } | true' sh "$WEIR" "$tmp/s"
check 'help ends well when nobody reads it' grep -qx -e 0 -e 141 "$tmp/s"
run sh -c '"$1" --help >/dev/full' sh "$WEIR"
expect_status 1
expect_err 'weir: cannot write: No space left on device (standard output)'

# Commands that can do more than one thing.
run "$WEIR" jobs lits --queue a
expect_status 2
expect_err "weir jobs: unknown word 'lits'; did you mean 'weir jobs list'?"
run "$WEIR" jobs zzz
expect_status 2
match_err '^try: weir jobs --help$'
run "$WEIR" jobs show --limit 3 1
expect_status 2
match_err "^weir jobs: --limit means nothing to 'weir jobs show'"
run "$WEIR" jobs --config "$tmp/none"
expect_status 2
run "$WEIR" jobs show
expect_status 2
expect_err 'weir jobs: ID... is missing: weir jobs show ID...'
run "$WEIR" db check now
expect_status 2
expect_err "weir db: too many arguments: 'now'"

for command in weir fetch run enqueue jobs queues limits schedule db; do
	# shellcheck disable=SC2046 # no word at all for weir itself
	run "$WEIR" help $(test "$command" = weir || echo "$command")
	check "help of $command fits into 80 columns" \
		sh -c "! grep -q '^.\{80\}' '$out'"
	run "$WEIR" --generate man "$command"
	expect_status 0
	if command -v groff >/dev/null; then
		groff -man -ww -Tutf8 "$out" >/dev/null 2>"$tmp/groff"
		check "groff has nothing to say about $command(1)" \
			test ! -s "$tmp/groff"
	else
		skip "groff has nothing to say about $command(1)" 'no groff'
	fi
done
for shell in bash zsh fish; do
	run "$WEIR" --generate completion "$shell"
	expect_status 0
	if command -v "$shell" >/dev/null; then
		check "$shell can read its completions" "$shell" -n "$out"
	else
		skip "$shell can read its completions" "no $shell"
	fi
done

# What bash offers behind these words.
complete_bash() {
	printf '%s\n' "$@" >"$tmp/words"
	run bash -c '
		. "$2"
		mapfile -t COMP_WORDS <"$1"
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_weir
		printf "%s" "${COMPREPLY[@]/%/$'\''\n'\''}"' bash "$tmp/words" "$tmp/bash"
}
if command -v bash >/dev/null; then
	"$WEIR" --generate completion bash >"$tmp/bash"
	complete_bash weir jobs re
	expect_out retry
	complete_bash weir jobs show re
	expect_out ''
	complete_bash weir queues --fin
	expect_out --finished
	complete_bash weir queues set a --finished a
	expect_out archive
else
	skip 'bash completes words' 'no bash'
fi

done_testing
