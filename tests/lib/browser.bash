# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A page in a real browser: $MLIMG_BROWSER, a Chromium, without a window, spoken to by its DevTools protocol over two pipes
# (https://chromedevtools.github.io/devtools-protocol/). Load it behind common.

# browser_open: starts it, with one page. What it tells by itself is in $BROWSER/events.
browser_open() {
	BROWSER=$BATS_TEST_TMPDIR/browser browser_id=0 browser_session=''
	mkdir "$BROWSER"
	mkfifo "$BROWSER/to" "$BROWSER/from"
	: >"$BROWSER/events"
	"$MLIMG_BROWSER" --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$BROWSER/profile" --remote-debugging-pipe \
		3<"$BROWSER/to" 4>"$BROWSER/from" >"$BROWSER/log" 2>&1 &
	browser_pid=$!
	exec {browser_to}>"$BROWSER/to" {browser_from}<"$BROWSER/from"
	browser_ask Target.createTarget '{"url": "about:blank"}'
	browser_ask Target.attachToTarget "$(jq -c '{targetId, flatten: true}' <<<"$answer")"
	browser_session=$(jq -r .sessionId <<<"$answer")
	browser_ask Log.enable
	browser_ask Runtime.enable
	browser_ask Page.enable
}

# browser_close: ends it; for teardown, too.
browser_close() {
	[ -n "${browser_pid:-}" ] || return 0
	exec {browser_to}>&- {browser_from}<&-
	kill "$browser_pid" 2>/dev/null || true
	wait "$browser_pid" || true
	browser_pid=''
}

# browser_ask METHOD [PARAMETERS]: leaves what it answers in $answer.
browser_ask() {
	local message
	browser_id=$((browser_id + 1))
	printf '{"id": %d, %s"method": "%s", "params": %s}\0' $browser_id "${browser_session:+\"sessionId\": \"$browser_session\", }" "$1" "${2-{\}}" >&"$browser_to"
	while IFS= read -r -d '' -t 60 -u "$browser_from" message; do
		if [[ $message == "{\"id\":$browser_id,"* ]]; then
			answer=$(jq -c '.result // error("\(.error)")' <<<"$message")
			return
		fi
		printf '%s\n' "$message" >>"$BROWSER/events"
	done
	echo "no answer to $1" >&2
	return 1
}

# browser_show FILE light|dark WIDTH: the page, so wide.
browser_show() {
	browser_ask Emulation.setEmulatedMedia "{\"features\": [{\"name\": \"prefers-color-scheme\", \"value\": \"$2\"}]}"
	browser_ask Emulation.setDeviceMetricsOverride "{\"width\": $3, \"height\": 900, \"deviceScaleFactor\": 1, \"mobile\": false}"
	browser_ask Page.navigate "{\"url\": \"file://$1\"}"
	browser_until 'document.readyState' complete
}

# browser_until EXPRESSION VALUE: waits until it has it, for a minute at most.
browser_until() {
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(browser_js "$1")" != "$2" ] || return 0
		sleep 0.1
	done
	echo "'$1' is not $2" >&2
	return 1
}

# browser_js EXPRESSION: its value; a promise is waited for.
browser_js() {
	browser_ask Runtime.evaluate "$(jq -n --arg e "$1" '{expression: $e, returnByValue: true, awaitPromise: true}')" || return
	jq -r 'if .exceptionDetails then error("\(.exceptionDetails)") else .result.value end' <<<"$answer"
}

# browser_picture FILE: what is seen of it, as PNG.
browser_picture() {
	browser_ask Page.captureScreenshot && jq -r .data <<<"$answer" | base64 -d >"$1"
}

# What browser_js must be asked for: the least contrast of a text to what lies behind it (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio), in hundredths.
# shellcheck disable=SC2034 # the caller's
BROWSER_CONTRAST='(() => {
	const light = colour => {
		const [r, g, b] = colour.match(/[\d.]+/g).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b + .05;
	};
	const behind = e => {
		for (; e; e = e.parentElement)
			if (!/, 0\)$/.test(getComputedStyle(e).backgroundColor)) return getComputedStyle(e).backgroundColor;
		return "rgb(255, 255, 255)";
	};
	let least = 21;
	for (const e of document.querySelectorAll("body *:not(script)")) {
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
		const a = light(getComputedStyle(e).color), b = light(behind(e));
		least = Math.min(least, a > b ? a / b : b / a);
	}
	return Math.floor(100 * least);
})()'
