#!/usr/bin/env bats
# tests/run must go red where bats 1.8 alone stays green, and say how many tests there were.

load ../lib/common

# suite LINE…: runs a file of these lines through tests/run.
suite() {
	mkdir -p "$BATS_TEST_TMPDIR/build"
	printf '%s\n' "load $MLIMG_TOP/tests/lib/common" "$@" >"$BATS_TEST_TMPDIR/suite.bats"
	run env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$BATS_TEST_TMPDIR" TMPDIR="$BATS_TEST_TMPDIR" MLIMG_BUILD="$BATS_TEST_TMPDIR/build" \
		MLIMG_MUST="${must:-}" "$MLIMG_TOP/tests/run" "$BATS_TEST_TMPDIR/suite.bats"
}

# The last line and the exit code.
sums() {
	same "last line" "$1" "${lines[-1]}" && same "exit code" "$2" "$status"
}

@test "run: passing tests" {
	suite '@test "a" { true; }' '@test "b" { works echo; }'
	sums "2 passed, 0 failed" 0
}

@test "run: a failing test is shown with what it said" {
	suite '@test "a" { true; }' '@test "b" { echo spoken; false; }'
	sums "1 passed, 1 failed" 1
	[[ "$output" == *"# spoken"* ]]
}

@test "run: no test at all is a failure" {
	suite 'true'
	sums "0 passed, 0 failed" 1
}

@test "run: tests that bats does not find are a failure" {
	suite 'ways() { true; }' 'if false; then' '@test "a" { true; }' 'fi' '@test "b" { true; }' 'bats_test_function ways'
	[ "$status" -eq 1 ]
	[[ "${lines[-1]}" == *" failed" ]]
}

@test "run: a failing teardown_file is a failure" {
	suite 'teardown_file() { false; }' '@test "a" { true; }'
	[ "$status" -eq 1 ]
}

@test "run: a pipe fails with any of its parts" {
	suite '@test "a" { false | true; }'
	sums "0 passed, 1 failed" 1
}

@test "run: skipped tests are counted, and are failures where MLIMG_MUST says so" {
	suite '@test "a" { skip; }' '@test "b" { true; }'
	sums "1 passed, 0 failed, 1 skipped" 0
	must=root,file suite '@test "a" { skip; }' '@test "b" { true; }'
	sums "1 passed, 1 failed" 1
}

@test "run: fails() wants exactly this exit code and exactly this message" {
	suite '@test "code" { fails 1 "x: no" bash -c "echo x: no >&2; exit 2"; }' \
		'@test "message" { fails 1 "x: no" bash -c "echo x: no! >&2; exit 1"; }' \
		'@test "both" { fails 1 "x: no" bash -c "echo x: no >&2; exit 1"; }'
	sums "1 passed, 2 failed" 1
}

@test "run: a loop over i goes on where it was when a command has been run" {
	suite '@test "a" { local i n=0; for ((i = 0; i < 4; i++)); do works true; fails 1 "" false; [ $((n += 1)) -le 4 ]; done; [ $n -eq 4 ]; }'
	sums "1 passed, 0 failed" 0
}

@test "run: what says that it lasts long begins first, and a file that is not there is a failure" {
	local name
	for name in a:0 b:20 c:100 d:; do
		printf '%s\n' "# lasts ${name#*:}" "load $MLIMG_TOP/tests/lib/common" "@test \"${name%:*}\" { true; }" >"$BATS_TEST_TMPDIR/${name%:*}.bats"
	done
	MLIMG_BUILD=$BATS_TEST_TMPDIR/build MLIMG_MUST='' run "$MLIMG_TOP/tests/run" -j 1 "$BATS_TEST_TMPDIR"/{a,b,c,d}.bats
	same "order" "c b a d" "$(sed -nE 's/^ok +[a-z].bats: ([a-z]) .*/\1/p' <<<"$output" | xargs)"
	sums "4 passed, 0 failed" 0
	MLIMG_BUILD=$BATS_TEST_TMPDIR/build MLIMG_MUST='' run "$MLIMG_TOP/tests/run" "$BATS_TEST_TMPDIR"/{a,none}.bats
	sums "1 passed, 1 failed" 1
}

@test "run: files of one name in two folders are counted both" {
	local name
	for name in a b; do
		mkdir "$BATS_TEST_TMPDIR/$name"
		printf '%s\n' "load $MLIMG_TOP/tests/lib/common" "@test \"$name\" { sleep 0.3; [ $name = a ]; }" >"$BATS_TEST_TMPDIR/$name/same.bats"
	done
	MLIMG_BUILD=$BATS_TEST_TMPDIR/build MLIMG_MUST='' run "$MLIMG_TOP/tests/run" -j 2 "$BATS_TEST_TMPDIR"/{a,b}/same.bats
	sums "1 passed, 1 failed" 1
}

# program CASE…: runs a test program of these cases through tests/run, of which "fails" fails and "dies" crashes; and of which "lost" ends the run of all.
program() {
	mkdir -p "$BATS_TEST_TMPDIR/build"
	cat >"$BATS_TEST_TMPDIR/build/test_program" <<END
#!/bin/sh
case \$1 in
	--list) printf '%s\n' $* ;;
	fails) echo spoken >&2; exit 1 ;;
	dies) kill -SEGV \$\$ ;;
	hangs) sleep 60 ;;
	lost) kill -KILL "\$(ps -o ppid= \$PPID)" ;;
	*) echo quiet; command -v debian-tree >/dev/null ;;
esac
END
	chmod +x "$BATS_TEST_TMPDIR/build/test_program"
	MLIMG_BUILD=$BATS_TEST_TMPDIR/build MLIMG_CASE_TIMEOUT=${limit:-60} run "$MLIMG_TOP/tests/run" "${options[@]}" "$BATS_TEST_TMPDIR/build/test_program"
}

@test "run: cases of a C test program" {
	local options=()
	program one two
	sums "2 passed, 0 failed" 0
	[[ $output == "ok     test_program: test_program: one in "*ms$'\n'"ok     test_program: test_program: two in "* && $output != *quiet* ]]
	program one fails dies two
	sums "2 passed, 2 failed" 1
	[[ $output == *"FAILED test_program: test_program: fails in "*ms$'\n       # spoken\n       # exit code 1\n'* ]]
	[[ $output == *"FAILED test_program: test_program: dies in "*"# exit code 139"* ]]
	limit=1 program hangs
	sums "0 passed, 1 failed" 1
	[[ $output == *"FAILED test_program: test_program: hangs in "*"# exit code 124"* ]]
	program one lost two
	sums "1 passed, 1 failed" 1
	[[ $output == *"FAILED test_program: it ended with 137 after 1 of 3 tests"* ]]
	options=(-f 'program: t')
	program one two three fails
	sums "2 passed, 0 failed" 0
}

@test "run: wrong usage" {
	local try=$'\n'"Try 'tests/run --help' for more information."
	fails 2 "tests/run: no tier given$try" "$MLIMG_TOP/tests/run"
	fails 2 "tests/run: unknown tier 'nonsense'$try" "$MLIMG_TOP/tests/run" nonsense
	fails 2 "tests/run: unknown option '-x'$try" "$MLIMG_TOP/tests/run" -x
	fails 2 "tests/run: option '-f' needs an argument$try" "$MLIMG_TOP/tests/run" -f
	works "$MLIMG_TOP/tests/run" --help
}
